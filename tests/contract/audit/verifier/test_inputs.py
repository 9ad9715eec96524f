"""What the three forms of input may look like besides the ordinary, and what only one of them can show."""

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from services.audit.verifier.findings import Kind, Unreadable
from tests.support.audit_files import (
    ENTRY_COLUMNS,
    WRITERS,
    b64,
    compact,
    copied,
    export_lines,
    write_dump,
    write_packed_export,
    write_tiles,
)
from tests.support.audit_log import MadeLog, frontier_of, made_log, root_of
from tests.support.audit_verdicts import first_of_each, verdict_on

PENDING = 40
SIZE = 600


@pytest.fixture(scope="module")
def whole() -> MadeLog:
    """A log with older heads, and entries that wait behind its head."""
    return made_log(SIZE, checkpoints=(1, 255, 256, 599), pending=PENDING)


@pytest.fixture
def log(whole: MadeLog) -> MadeLog:
    """The same, to be changed."""
    return whole.copy()


def kept_at(log: MadeLog, *sizes: int) -> list[str]:
    """Heads of sizes, as an auditor keeps them."""
    return [log.signer.checkpoint(size, root_of(log.hashes(size))) for size in sizes]


def test_a_packed_export_is_read_like_a_plain_one(whole: MadeLog, tmp_path: Path) -> None:
    verdict = verdict_on(write_packed_export(whole, tmp_path), whole.signer.vkey)
    assert (verdict.findings.exit_code(), verdict.entries) == (0, SIZE)


@pytest.mark.parametrize("first", [1, 256, 300, 511, 599])
def test_the_end_of_a_log_is_verified_from_any_entry_on(whole: MadeLog, first: int, tmp_path: Path) -> None:
    path = tmp_path / "part.jsonl"
    path.write_text("\n".join(export_lines(whole, first=first)) + "\n", encoding="utf-8")
    verdict = verdict_on(path, whole.signer.vkey, older=kept_at(whole, first, 599, SIZE, max(0, first - 1)))
    shown = {kind: index for kind, index in first_of_each(verdict).items() if kind != Kind.COMMITMENT}
    assert shown == {}
    assert verdict.entries == SIZE - first
    assert "1 checkpoints of sizes before" in "".join(verdict.findings.unchecked)


def test_a_wrong_hash_left_of_a_range_is_found(whole: MadeLog, tmp_path: Path) -> None:
    lines = export_lines(whole, first=300)
    header = json.loads(lines[0])
    header["left"][0] = b64(bytes(32))
    path = tmp_path / "part.jsonl"
    path.write_text("\n".join([compact(header), *lines[1:]]) + "\n", encoding="utf-8")
    assert first_of_each(verdict_on(path, whole.signer.vkey)) == {Kind.ROOT: SIZE}


@pytest.mark.parametrize(
    ("change", "found"),
    [
        pytest.param(
            lambda lines: [*lines[:301], *reversed(lines[301:303]), *lines[303:]],
            {Kind.MISSING: 300},
            id="lines swapped",
        ),
        pytest.param(lambda lines: [*lines[:301], lines[300], *lines[301:]], {Kind.MISSING: 299}, id="a line twice"),
        pytest.param(lambda lines: [lines[0], *lines[2:]], {Kind.MISSING: 0}, id="no first line"),
        pytest.param(lambda lines: lines[:1], {Kind.MISSING: 0}, id="no line at all"),
        pytest.param(lambda lines: lines[:-20], {Kind.MISSING: 580}, id="cut at the end"),
    ],
)
def test_lines_out_of_their_place_are_found(
    whole: MadeLog, change: Callable[[list[str]], list[str]], found: dict[int, int], tmp_path: Path
) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text("\n".join(change(export_lines(whole))) + "\n", encoding="utf-8")
    assert first_of_each(verdict_on(path, whole.signer.vkey)) == found


def test_entries_behind_the_head_of_an_export_are_found(log: MadeLog, tmp_path: Path) -> None:
    log.size += 1
    path = tmp_path / "log.jsonl"
    path.write_text("\n".join(export_lines(log)) + "\n", encoding="utf-8")
    assert first_of_each(verdict_on(path, log.signer.vkey)) == {Kind.MISSING: SIZE}


def test_a_full_tile_serves_for_the_partial_one_that_it_grew_out_of(log: MadeLog, tmp_path: Path) -> None:
    path = write_tiles(log, tmp_path)
    for level in ("0", "entries"):
        part = path / "tile" / level / "002.p" / "88"
        (path / "tile" / level / "002").write_bytes(part.read_bytes() + bytes(5000))
        shutil.rmtree(part.parent)
    assert first_of_each(verdict_on(path, log.signer.vkey)) == {}


@pytest.mark.parametrize(
    ("tile", "found"),
    [("0/001", {Kind.MISSING: 256}), ("entries/001", {Kind.MISSING: 256}), ("1/000.p/2", {Kind.MISSING: 0})],
)
def test_a_tile_that_is_not_there_is_found(whole: MadeLog, tile: str, found: dict[int, int], tmp_path: Path) -> None:
    path = write_tiles(whole, tmp_path)
    (path / "tile" / tile).unlink()
    assert first_of_each(verdict_on(path, whole.signer.vkey)) == found


def test_a_receipt_for_what_is_not_in_the_log_is_found(whole: MadeLog, tmp_path: Path) -> None:
    path = write_tiles(whole, tmp_path)
    entry = whole.entries[77]
    kept = {"event_id": "event-77", "leaf_hash": b64(entry.leaf_hash), "time": "2026-03-01T12:00:50+00:00", "index": 77}
    young = {"event_id": "young", "leaf_hash": b64(bytes(32)), "time": "2026-03-01T12:05:30+00:00"}
    receipts = path / "receipts.jsonl"
    receipts.write_text(f"{compact(kept)}\n{compact(young)}\n", encoding="utf-8")
    verdict = verdict_on(path, whole.signer.vkey)
    assert (first_of_each(verdict), verdict.receipts) == ({}, 2)
    for wrong in ({**kept, "index": 78}, {**young, "time": "2026-03-01T12:00:50+00:00", "index": 5}):
        receipts.write_text(f"{compact(wrong)}\n", encoding="utf-8")
        assert first_of_each(verdict_on(path, whole.signer.vkey)) == {Kind.MISSING: wrong["index"]}


def test_openings_stand_in_any_order(whole: MadeLog, tmp_path: Path) -> None:
    path = write_tiles(whole, tmp_path)
    lines = (path / "openings.jsonl").read_text(encoding="utf-8").splitlines()
    random.Random(1).shuffle(lines)
    (path / "openings.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    verdict = verdict_on(path, whole.signer.vkey)
    assert first_of_each(verdict) == {}
    assert verdict.opened > SIZE


def test_rows_of_a_dump_stand_in_any_order(whole: MadeLog, tmp_path: Path) -> None:
    path = write_dump(whole, tmp_path)
    parts = path.read_text(encoding="utf-8").split(" FROM stdin;\n")
    shuffled = [parts[0]]
    for part in parts[1:]:
        rows, _, rest = part.partition("\\.\n")
        lines = rows.splitlines(keepends=True)
        random.Random(2).shuffle(lines)
        shuffled.append("".join(lines) + "\\.\n" + rest)
    path.write_text(" FROM stdin;\n".join(shuffled), encoding="utf-8")
    verdict = verdict_on(path, whole.signer.vkey)
    assert (first_of_each(verdict), verdict.entries, verdict.unsigned) == ({}, SIZE + PENDING, PENDING)


@pytest.mark.parametrize("at", [SIZE, SIZE + 7, SIZE + PENDING - 1])
def test_a_pending_entry_that_was_deleted_is_found(log: MadeLog, at: int, tmp_path: Path) -> None:
    log.remove(at)
    assert first_of_each(verdict_on(write_dump(log, tmp_path), log.signer.vkey)) == {Kind.MISSING: at}


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("action", "login"), ("outcome", "failure"), ("target_id", "another"), ("created_at", "2026-03-01 12:00:01+00"),
        ("event_type", "com.shop.x"), ("actor_type", "client"), ("request_id", None), ("id", "01900000-0000-7000-8000-000000000000"),
    ],
)  # fmt: skip
def test_a_row_that_says_something_else_than_its_leaf_is_found(
    log: MadeLog, column: str, value: str | None, tmp_path: Path
) -> None:
    log.entries[321].row[column] = value
    assert first_of_each(verdict_on(write_dump(log, tmp_path), log.signer.vkey)) == {Kind.LEAF: 321}


@pytest.mark.parametrize(("column", "value"), [("outcome", "denied"), ("target_id", None), ("trace_id", "x")])
def test_columns_that_a_dump_lacks_are_not_compared_and_the_others_are(
    log: MadeLog, column: str, value: str | None, tmp_path: Path
) -> None:
    log.entries[321].row[column] = value
    for lacking, found in ((("action", "actor_type", "id"), {Kind.LEAF: 321}), ((column, "created_at"), {})):
        columns = [name for name in ENTRY_COLUMNS if name not in lacking]
        rows = (
            [str(place) if name == "sequence" else entry.row[name] for name in columns]
            for place, entry in zip(log.places, log.entries, strict=True)
        )
        path = write_dump(
            log, tmp_path, entries_2026_03=copied("entries_2026_03", columns, rows),
            entries_default=copied("entries_default", columns, []),
        )  # fmt: skip
        assert first_of_each(verdict_on(path, log.signer.vkey)) == found


def test_times_of_another_zone_are_the_same_times(log: MadeLog, tmp_path: Path) -> None:
    assert str(log.entries[5].row["created_at"]).startswith("2026-03-01 12:00:03.00025")
    log.entries[5].row["created_at"] = "2026-03-01 17:30:03.00025+05:30"
    assert first_of_each(verdict_on(write_dump(log, tmp_path), log.signer.vkey)) == {}


@pytest.mark.parametrize("table", ["log_leaves_1", "entries_2026_03"])
def test_entries_and_leaves_belong_together(whole: MadeLog, table: str, tmp_path: Path) -> None:
    path = write_dump(whole, tmp_path)
    text = path.read_text(encoding="utf-8")
    begin = text.index(f"COPY audit.{table} ")
    row = text.index("\n500\t", begin) + 1
    path.write_text(text[:row] + text[text.index("\n", row) + 1 :], encoding="utf-8")
    assert first_of_each(verdict_on(path, whole.signer.vkey)) == {Kind.MISSING: 500}


def test_entries_at_the_end_without_leaves_are_found(whole: MadeLog, tmp_path: Path) -> None:
    rows = [(*(str(SIZE + PENDING) if name == "sequence" else whole.entries[0].row[name] for name in ENTRY_COLUMNS),)]
    path = write_dump(whole, tmp_path, entries_default=copied("entries_default", ENTRY_COLUMNS, rows))
    assert first_of_each(verdict_on(path, whole.signer.vkey)) == {Kind.MISSING: SIZE + PENDING}


@pytest.mark.parametrize(
    ("change", "found"),
    [
        pytest.param({"root": bytes(32)}, {Kind.ROOT: SIZE}, id="root"),
        pytest.param({"frontier": bytes(96)}, {Kind.LEAF: SIZE}, id="frontier"),
    ],
)
def test_what_the_database_says_of_its_tree_is_held_against_it(
    log: MadeLog, change: dict[str, bytes], found: dict[int, int], tmp_path: Path
) -> None:
    for name, value in change.items():
        setattr(log, name, value)
    assert first_of_each(verdict_on(write_dump(log, tmp_path), log.signer.vkey)) == found


def test_a_tree_that_grew_past_its_head_is_held_against_its_entries(log: MadeLog, tmp_path: Path) -> None:
    log.size += PENDING
    log.rebuild()
    assert first_of_each(verdict_on(write_dump(log, tmp_path), log.signer.vkey)) == {}
    log.frontier = frontier_of(log.hashes(SIZE))
    assert first_of_each(verdict_on(write_dump(log, tmp_path), log.signer.vkey)) == {Kind.LEAF: SIZE + PENDING}


def test_an_older_head_in_a_dump_that_another_log_had_is_found(log: MadeLog, tmp_path: Path) -> None:
    log.checkpoints[2].root = bytes(range(32))
    log.checkpoints[2].note = log.signer.checkpoint(256, bytes(range(32)))
    assert first_of_each(verdict_on(write_dump(log, tmp_path), log.signer.vkey)) == {Kind.CONSISTENCY: 256}


def test_a_head_whose_row_says_something_else_is_found(log: MadeLog, tmp_path: Path) -> None:
    log.checkpoints[1].root = bytes(32)
    assert first_of_each(verdict_on(write_dump(log, tmp_path), log.signer.vkey)) == {Kind.CONSISTENCY: 255}


def test_a_head_that_nobody_signed_is_found_in_a_dump_with_many(log: MadeLog, tmp_path: Path) -> None:
    log.checkpoints[3].note = log.checkpoints[3].note.replace("\u2014", "-")
    assert first_of_each(verdict_on(write_dump(log, tmp_path), log.signer.vkey)) == {Kind.SIGNATURE: 599}


def test_a_dump_without_a_head_is_a_log_that_nobody_signed(log: MadeLog, tmp_path: Path) -> None:
    log.checkpoints = []
    assert first_of_each(verdict_on(write_dump(log, tmp_path), log.signer.vkey)) == {Kind.SIGNATURE: 0}


def test_entry_twice_in_partitions_is_refused(whole: MadeLog, tmp_path: Path) -> None:
    one = whole.entries[5]
    row = [(5, one.body, one.leaf_hash)]
    more = copied("log_leaves_2", ("sequence", "body", "leaf_hash"), row)
    with pytest.raises(Unreadable, match="entry 5 more than once"):
        verdict_on(write_dump(whole, tmp_path, log_leaves_2=more), whole.signer.vkey)


def test_times_that_step_back_are_listed_and_no_finding(tmp_path: Path) -> None:
    log = made_log(200)
    for at, seconds in ((60, 30), (70, 4)):
        log.entries[at].leaf["received_at"] = f"2026-03-01T12:00:{36 + (at - 60) * 6 // 10 - seconds:02d}.000000Z"
        log.entries[at].seal()
    log.rebuild()
    log.sign([200])
    verdict = verdict_on(WRITERS["export"](log, tmp_path), log.signer.vkey)
    assert first_of_each(verdict) == {}
    assert (verdict.findings.warnings["time"].count, verdict.findings.warnings["time"].first) == (1, 60)


@pytest.mark.parametrize("form", WRITERS)
def test_a_log_without_entries_holds(form: str, tmp_path: Path) -> None:
    log = made_log(0)
    verdict = verdict_on(WRITERS[form](log, tmp_path), log.signer.vkey)
    assert (verdict.findings.exit_code(), verdict.entries) == (0, 0)
