"""A clean log of a hundred thousand entries raises no alarm, in any form, and is read in bounded memory."""

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.audit_large import write_large
from tests.support.audit_log import Signer

ROOT = Path(__file__).parents[4]
SIZE = 100_000
MOST_KIB = 400 * 1024
"""Of address space for each process; what its libraries map counts as well."""


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Path], Signer]:
    """The log in its three forms."""
    return write_large(tmp_path_factory.mktemp("large"), SIZE)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("form", ["export", "tiles", "dump"])
def test_a_clean_log_raises_no_alarm_in_bounded_memory(written: tuple[dict[str, Path], Signer], form: str) -> None:
    paths, signer = written

    def bounded() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (MOST_KIB * 1024, MOST_KIB * 1024))

    done = subprocess.run(
        [sys.executable, "-m", "services.audit.verifier", str(paths[form]), "--key", signer.vkey, "--json"],
        cwd=ROOT, capture_output=True, text=True, timeout=500, check=False, preexec_fn=bounded,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    said = json.loads(done.stdout)
    assert (said["findings"], said["warnings"], said["checked"]["entries"]) == ([], [], SIZE)
    assert said["checked"]["heartbeats"] == SIZE // 100
    assert said["checked"]["erased"] == SIZE // 100 * 6
