"""`python -m services.audit.verifier` as an auditor runs it: exit codes, reports, and one line for what cannot be read."""

import gzip
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.audit_files import WRITERS, Write, write_export
from tests.support.audit_log import MadeLog, made_log, root_of

ROOT = Path(__file__).parents[4]


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """The command, from the root of the project."""
    return subprocess.run(
        [sys.executable, "-m", "services.audit.verifier", *map(str, arguments)],
        cwd=ROOT, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def whole() -> MadeLog:
    """A log that nobody touched."""
    return made_log(300)


@pytest.fixture
def log(whole: MadeLog) -> MadeLog:
    """The same, to be changed."""
    return whole.copy()


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_a_log_that_holds_is_0_and_says_what_was_checked(whole: MadeLog, write: Write, tmp_path: Path) -> None:
    key = tmp_path / "log.vkey"
    key.write_text(f"{whole.signer.vkey}\n", encoding="utf-8")
    older = tmp_path / "older"
    older.write_text(whole.signer.checkpoint(100, root_of(whole.hashes(100))), encoding="utf-8")
    done = run(write(whole, tmp_path), "--key", key, "--checkpoint", older)
    assert (done.returncode, done.stderr) == (0, "")
    assert "entries            300, from 0" in done.stdout
    assert "older checkpoints  1" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("All that was checked holds (300 entries")


def test_the_report_for_programs_has_its_shape(log: MadeLog, tmp_path: Path) -> None:
    log.entries[123].openings["/details"]["value"] = "another"
    done = run(write_export(log, tmp_path), "--key", log.signer.vkey, "--json")
    assert (done.returncode, done.stderr) == (16, "")
    said = json.loads(done.stdout)
    assert said.keys() == {
        "format", "holds", "exit_code", "path", "head", "checked", "findings", "warnings", "unchecked",
        "last_received_at", "seconds", "witnessed",
    }  # fmt: skip
    assert said["witnessed"] is None
    assert said["format"] == "reeve-audit-verdict/1"
    assert (said["holds"], said["exit_code"], said["head"]["size"], said["checked"]["entries"]) == (False, 16, 300, 300)
    assert said["checked"].keys() == {
        "first", "entries", "beyond_head", "nodes", "older_checkpoints", "opened", "erased", "heartbeats",
        "silence_seconds", "receipts", "pruned",
    }  # fmt: skip
    assert said["findings"] == [{
        "code": 16, "kind": "commitment", "count": 1, "first_index": 123,
        "examples": ["entry 123: what is shown of /details is not what was committed to"],
    }]  # fmt: skip


def test_several_kinds_are_1_and_each_names_its_first_place(log: MadeLog, tmp_path: Path) -> None:
    log.entries[123].openings["/details"]["value"] = "another"
    log.entries[200].body = log.entries[200].body.replace(b"success", b"failure")
    done = run(write_export(log, tmp_path), "--key", log.signer.vkey)
    assert done.returncode == 1
    assert "FINDING 12 leaf: 1, the first at 200" in done.stdout
    assert "FINDING 16 commitment: 1, the first at 123" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("The log does NOT hold")


def _cosigned_only(log: MadeLog) -> None:
    log.checkpoints[-1].note = log.head.note.replace("\u2014 reeve", "\u2014 other")


def _other_root(log: MadeLog) -> None:
    log.checkpoints[-1].root = bytes(32)


def _longer_leaf(log: MadeLog) -> None:
    log.entries[9].body += b" "


CHANGES: dict[str, Callable[[MadeLog], None]] = {
    "signature": _cosigned_only, "root": _other_root, "leaf": _longer_leaf, "missing": lambda log: log.remove(44),
    "silence": lambda log: None,
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "code"), [("signature", 10), ("root", 11), ("leaf", 12), ("missing", 13), ("silence", 15)]
)
def test_one_kind_is_its_own_exit_code(log: MadeLog, change: str, code: int, tmp_path: Path) -> None:
    CHANGES[change](log)
    extra = ["--silence", "30"] if change == "silence" else []
    done = run(write_export(log, tmp_path), "--key", log.signer.vkey, *extra)
    assert done.returncode == code, done.stdout


def test_an_older_head_of_another_history_is_14(whole: MadeLog, tmp_path: Path) -> None:
    older = tmp_path / "older"
    older.write_text(whole.signer.checkpoint(100, bytes(32)), encoding="utf-8")
    done = run(write_export(whole, tmp_path), "--key", whole.signer.vkey, "--checkpoint", older)
    assert done.returncode == 14
    assert "the first at 100" in done.stdout


WRONG = [
    pytest.param([], "the following arguments are required", id="nothing"),
    pytest.param(["LOG"], "--key", id="no key"),
    pytest.param(["LOG", "--key", "nonsense"], "--key: a verifier key looks like", id="a key that is none"),
    pytest.param(["LOG", "--key", "VKEY", "--bogus"], "--bogus", id="an unknown option"),
    pytest.param(["LOG", "--key", "VKEY", "--silence", "never"], "--silence", id="seconds that are none"),
    pytest.param(["LOG", "--key", "VKEY", "--processes", "0"], "processes must be 1..256", id="no process"),
    pytest.param(["/nowhere", "--key", "VKEY"], "/nowhere cannot be read", id="no file"),
    pytest.param(["FOLDER", "--key", "VKEY"], "checkpoint cannot be read", id="a folder without tiles"),
    pytest.param(["LOG", "--key", "VKEY", "--checkpoint", "/nowhere"], "/nowhere cannot be read", id="no checkpoint"),
]


@pytest.mark.parametrize(("arguments", "said"), WRONG)
def test_wrong_usage_is_2_and_one_line(whole: MadeLog, arguments: list[str], said: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    names = {"LOG": str(write_export(whole, tmp_path)), "VKEY": whole.signer.vkey, "FOLDER": str(tmp_path / "folder")}
    done = run(*(names.get(argument, argument) for argument in arguments))
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_a_large_log_is_checked_by_several_processes_with_the_same_verdict(write: Write, tmp_path: Path) -> None:
    log = made_log(11_000)
    log.entries[10_100].body = log.entries[10_100].body.replace(b"success", b"failure")
    path = write(log, tmp_path)
    reports = [run(path, "--key", log.signer.vkey, "--json", "--processes", str(count)) for count in (1, 3)]
    alone, together = (json.loads(done.stdout) | {"seconds": 0} for done in reports)
    assert alone == together
    assert [one["first_index"] for one in alone["findings"]] == [10_100]


def test_what_a_process_cannot_read_is_one_line_as_well(tmp_path: Path) -> None:
    path = write_export(made_log(20_000), tmp_path)
    lines = path.read_bytes().split(b"\n")
    lines[19_001] = b"{"
    path.write_bytes(gzip.compress(b"\n".join(lines), 1))
    done = run(path, "--key", made_log(0).signer.vkey, "--processes", "2")
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert "line 19002" in done.stderr
