"""Receipts that were kept: a log that lacks what it promised is named, and nothing else passes for a receipt."""

import base64
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from services.audit.verifier.findings import Kind
from tests.support.audit_files import WRITERS, Write, export_lines, write_export
from tests.support.audit_log import ORIGIN, MadeLog, Signer, made_log, root_of
from tests.support.audit_verdicts import first_of_each, verdict_on

KEY = Signer("the receipts'", f"{ORIGIN}/receipts")
HEADER = "reeve audit receipt v1"
LONG_AGO = "2026-03-01T12:00:10.000000Z"


@pytest.fixture(scope="module")
def whole() -> MadeLog:
    """A log that nobody touched."""
    return made_log(300)


@pytest.fixture
def log(whole: MadeLog) -> MadeLog:
    """The same, to be changed."""
    return whole.copy()


def promise(log: MadeLog, at: int, **given: Any) -> str:
    """The JSON of a receipt for an entry."""
    leaf_hash = base64.b64encode(log.entries[at].leaf_hash).decode()
    made = {"event_id": f"event-{at}", "index": at, "leaf_hash": leaf_hash, "time": LONG_AGO}
    return json.dumps({**made, **given})


def receipt(promised: str, *, signer: Signer = KEY, name: str | None = None, header: str = HEADER) -> str:
    return signer.note(f"{name or signer.name}\n{header}\n{promised}\n")


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_what_was_promised_is_found_in_every_kind_of_input(whole: MadeLog, write: Write, tmp_path: Path) -> None:
    kept = [receipt(promise(whole, at)) for at in (0, 77, 299)]
    verdict = verdict_on(write(whole, tmp_path), whole.signer.vkey, receipts=kept, receipt_key=KEY.vkey)
    assert (first_of_each(verdict), verdict.receipts) == ({}, 3)


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_an_entry_that_its_owner_left_out_of_a_log_in_order_is_named(write: Write, tmp_path: Path) -> None:
    """The whole log is made anew without it, and signed with the log's own key: only the receipt tells."""
    log = made_log(300)
    kept = receipt(promise(log, 77, leaf_hash=base64.b64encode(bytes(32)).decode()))
    verdict = verdict_on(write(log, tmp_path), log.signer.vkey, receipts=[kept], receipt_key=KEY.vkey)
    assert first_of_each(verdict) == {Kind.MISSING: 77}


def test_an_entry_at_another_place_is_named(whole: MadeLog, tmp_path: Path) -> None:
    kept = receipt(promise(whole, 77, index=78))
    verdict = verdict_on(write_export(whole, tmp_path), whole.signer.vkey, receipts=[kept], receipt_key=KEY.vkey)
    assert first_of_each(verdict) == {Kind.MISSING: 78}


def test_one_that_is_younger_than_the_log_s_last_minute_is_no_finding(whole: MadeLog, tmp_path: Path) -> None:
    nowhere = base64.b64encode(bytes(32)).decode()
    kept = receipt(promise(whole, 77, index=9_000, leaf_hash=nowhere, time="2031-01-01T00:00:00.000000Z"))
    verdict = verdict_on(write_export(whole, tmp_path), whole.signer.vkey, receipts=[kept], receipt_key=KEY.vkey)
    assert first_of_each(verdict) == {}


def test_an_export_that_begins_later_is_not_asked_for_what_was_before(whole: MadeLog, tmp_path: Path) -> None:
    path = tmp_path / "part.jsonl"
    path.write_text("\n".join(export_lines(whole, first=100)) + "\n", encoding="utf-8")
    nowhere = base64.b64encode(bytes(32)).decode()
    kept = [receipt(promise(whole, 77)), receipt(promise(whole, 100))]
    assert first_of_each(verdict_on(path, whole.signer.vkey, receipts=kept, receipt_key=KEY.vkey)) == {}
    wrong = receipt(promise(whole, 100, leaf_hash=nowhere))
    verdict = verdict_on(path, whole.signer.vkey, receipts=[wrong], receipt_key=KEY.vkey)
    assert first_of_each(verdict) == {Kind.MISSING: 100}


def test_what_is_no_receipt_of_this_key_is_named(whole: MadeLog, tmp_path: Path) -> None:
    good = promise(whole, 77)
    other, the_log = Signer("somebody's", KEY.name), Signer()
    root = root_of(whole.hashes(100))
    wrong = {
        "another's key": receipt(good, signer=other),
        "the log's own key": receipt(good, signer=the_log, name=KEY.name),
        "another name in it": receipt(good, name="other.example/audit/receipts"),
        "another header": receipt(good, header="reeve audit receipt v2"),
        "a checkpoint under its name": KEY.note(f"{KEY.name}\n100\n{base64.b64encode(root).decode()}\n"),
        "a line more": receipt(f"{good}\nmore"),
        "more behind an empty line": receipt(f"{good}\n\nmore"),
        "no JSON": receipt("{"),
        "a short hash": receipt(promise(whole, 77, leaf_hash="AAAA")),
        "changed afterwards": receipt(good).replace("event-77", "event-78"),
        "no note": "hello",
    }
    path = write_export(whole, tmp_path)
    for name, note in wrong.items():
        verdict = verdict_on(path, whole.signer.vkey, receipts=[note], receipt_key=KEY.vkey)
        assert set(first_of_each(verdict)) == {Kind.SIGNATURE}, name
        assert verdict.receipts == 0, name


def test_a_receipt_is_no_checkpoint_even_under_one_key(whole: MadeLog, tmp_path: Path) -> None:
    note = whole.signer.note(f"{whole.signer.name}\n{HEADER}\n{promise(whole, 77)}\n")
    verdict = verdict_on(write_export(whole, tmp_path), whole.signer.vkey, older=[note])
    assert set(first_of_each(verdict)) == {Kind.SIGNATURE}


def test_the_command_takes_files_with_many_and_wants_their_key(log: MadeLog, tmp_path: Path) -> None:
    nowhere = base64.b64encode(bytes(32)).decode()
    file = tmp_path / "kept"
    file.write_text(
        "\n".join([receipt(promise(log, 5)), receipt(promise(log, 6, leaf_hash=nowhere))]), encoding="utf-8"
    )
    path = write_export(log, tmp_path)

    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "services.audit.verifier", str(path), "--key", log.signer.vkey, *map(str, arguments)],
            cwd=Path(__file__).parents[4], capture_output=True, text=True, timeout=100, check=False,
        )  # fmt: skip

    done = run("--receipt", file, "--receipt-key", KEY.vkey, "--json")
    assert done.returncode == 13, done.stderr
    said = json.loads(done.stdout)
    assert said["checked"]["receipts"] == 2
    [finding] = said["findings"]
    assert (finding["code"], finding["first_index"]) == (13, 6)
    unkeyed = run("--receipt", file)
    assert (unkeyed.returncode, unkeyed.stderr) == (2, "--receipt needs --receipt-key\n")
    assert run("--receipt", file, "--receipt-key", "nothing").returncode == 2
