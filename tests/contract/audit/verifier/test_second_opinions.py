"""Programs that we did not write agree: pymerkle on roots, and Go's sumdb/note and tlog on heads, tiles and proofs."""

import base64
import json
import os
import subprocess
from pathlib import Path

import pytest
from pymerkle import InmemoryTree

from services.audit.verifier.tree import Tree, leaf_hash, levels_over, peaks_over
from tests.conftest import GO_MODULES
from tests.support.audit_files import write_tiles
from tests.support.audit_log import made_log
from tests.support.audit_verdicts import verdict_on

PROGRAM = Path(__file__).with_name("second_opinion.go")


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 255, 256, 257, 600])
def test_pymerkle_has_the_same_root(size: int) -> None:
    log = made_log(size)
    other = InmemoryTree(algorithm="sha256")
    for entry in log.entries:
        other.append_entry(entry.body)
    hashes = [leaf_hash(entry.body) for entry in log.entries]
    assert other.get_state() == Tree(peaks_over(levels_over(0, hashes), 0, size)).root() == log.root


def opinion(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """What the program in Go says of a directory of tiles, built offline from Debian's sources."""
    environment = {
        "GO111MODULE": "off", "GOPATH": str(GO_MODULES.parents[3]), "GOCACHE": str(folder / "cache"), "GOFLAGS": "",
        "HOME": str(folder), "PATH": os.environ["PATH"],
    }  # fmt: skip
    return subprocess.run(
        ["go", "run", str(PROGRAM), *arguments],
        env=environment, capture_output=True, text=True, timeout=110, check=False,
    )  # fmt: skip


@pytest.mark.needs_go
def test_go_opens_the_head_and_proves_every_entry_and_every_older_tree(tmp_path: Path) -> None:
    log = made_log(600)
    path = write_tiles(log, tmp_path)
    done = opinion(tmp_path, str(path), log.signer.vkey, "1", "255", "256", "257", "512", "599")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert (said["size"], said["root"]) == (600, base64.b64encode(log.root).decode())
    assert (said["included"], said["consistent"]) == (600, 6)
    verdict = verdict_on(path, log.signer.vkey)
    assert (verdict.findings.exit_code(), verdict.entries) == (0, 600)


@pytest.mark.needs_go
def test_go_sees_a_changed_tile_and_a_strange_key_as_well(tmp_path: Path) -> None:
    log = made_log(600)
    path = write_tiles(log, tmp_path)
    (path / "tile" / "0" / "001").write_bytes(bytes(8192))
    assert opinion(tmp_path, str(path), log.signer.vkey).returncode == 1
    other = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
    assert opinion(tmp_path, str(path), other).returncode == 1
