"""The offline verifier over a clean log in its three forms, beside hashing the same leaves and nothing else in the same run."""

import hashlib
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.support.audit_large import write_large


def verifier_figures(*, entries: int) -> dict[str, Any]:
    """Seconds and entries per second by form, with all cores; every run must end with 0 findings."""
    with tempfile.TemporaryDirectory(prefix="reeve-bench-") as folder:
        paths, signer = write_large(Path(folder), entries)
        found: dict[str, Any] = {"entries": entries, "hashing_seconds": _hashing(paths["tiles"])}
        for form, path in paths.items():
            found[form] = _run(path, signer.vkey)
    return found


def _run(path: Path, vkey: str) -> dict[str, Any]:
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "services.audit.verifier", str(path), "--key", vkey, "--json", "--quiet"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    seconds = time.perf_counter() - started
    said = json.loads(done.stdout) if done.returncode in (0, 1, *range(10, 17)) else {}
    return {"seconds": round(seconds, 2), "exit_code": done.returncode, "findings": said.get("findings", done.stderr)}


def _hashing(tiles: Path) -> float:
    """Leaf hashes of all entries on one core: what no verifier can do without."""
    spent = 0.0
    for bundle in sorted((tiles / "tile" / "entries").rglob("*")):
        if not bundle.is_file():
            continue
        data, at, entries = bundle.read_bytes(), 0, []
        while at < len(data):
            length = int.from_bytes(data[at : at + 2], "big")
            entries.append(data[at + 2 : at + 2 + length])
            at += 2 + length
        started = time.perf_counter()
        for entry in entries:
            hashlib.sha256(b"\x00" + entry).digest()
        spent += time.perf_counter() - started
    return round(spent, 2)
