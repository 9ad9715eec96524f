"""The first pass over a dump: where its rows are, by entry, and the hashes of its nodes; in files, read by many processes."""

import os
from array import array
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from services.audit.verifier.copytext import Copied, bytes_of, copied_tables, lines_between, text_of
from services.audit.verifier.findings import Unreadable
from services.audit.verifier.places import MOST_INDEX, Places
from services.audit.verifier.pool import Pool
from services.audit.verifier.source import HASH, NODE_LEVELS

PIECE = 1024 * 1024
LEAVES, ENTRIES, OPENINGS, NODES = "log_leaves", "entries", "log_openings", "log_nodes"
BY_ENTRY = (LEAVES, ENTRIES, OPENINGS)
SMALL = ("log_head", "log_state")
CHECKPOINTS = "log_checkpoints"
COSIGNATURES = "log_cosignatures"
MOST_SMALL_BYTES = 1024 * 1024
MOST_COSIGNED = 4096
"""Sizes whose cosignatures are read: the newest, for those before them say nothing more."""
MOST_LINES_BYTES = 128 * 1024


class Piece(NamedTuple):
    """Some rows of one table."""

    copied: Copied
    start: int
    end: int


class Placed(NamedTuple):
    """Rows of consecutive entries, or nodes of one level: from index `first`, offsets of lines or joined hashes."""

    table: str
    level: int
    first: int
    content: "array[int] | bytes"


class Survey(NamedTuple):
    """What a dump has. `columns` are those of a table or its partitions, which all have the same."""

    columns: dict[str, tuple[str, ...]]
    places: dict[str, Path]
    ends: dict[str, int]
    counts: dict[str, int]
    repeated: dict[str, list[int]]
    nodes: Path
    checkpoints: list[Copied]
    cosignatures: list[Copied]
    small: dict[str, Copied]


def family(table: str) -> str | None:
    """The table whose partition this is, or that it is itself, of those that matter."""
    for name in (*BY_ENTRY, NODES, CHECKPOINTS, COSIGNATURES, *SMALL):
        if table == name or (name in BY_ENTRY and table.startswith(f"{name}_")):
            return name
    return None


def survey(path: Path, scratch: Path, pool: Pool) -> Survey:
    """Look through a dump. Raises Unreadable when it is none, or has no log."""
    tables = [one for one in copied_tables(path) if family(one.table)]
    columns = _columns(tables)
    if LEAVES not in columns:
        raise Unreadable(
            f"{path} has no rows of audit.{LEAVES}: it is not a plain pg_dump of the audit schema (without --inserts)"
        )
    places = {name: Places(scratch / name) for name in BY_ENTRY}
    for many in pool.map(partial(_placed, path), _pieces(tables)):
        for one in many:
            if isinstance(one.content, bytes):
                _keep_nodes(scratch, one)
            else:
                places[one.table].put(one.first, one.content)
    for one_place in places.values():
        one_place.close()
    return Survey(
        columns, {name: scratch / name for name in BY_ENTRY}, {name: one.end for name, one in places.items()},
        {name: one.count for name, one in places.items()}, {name: one.repeated for name, one in places.items()}, scratch,
        [one for one in tables if one.table == CHECKPOINTS],
        [one for one in tables if one.table == COSIGNATURES], {one.table: one for one in tables if one.table in SMALL},
    )  # fmt: skip


def nodes_file(scratch: Path, level: int) -> Path:
    """The file with the hashes of one level, each at its index."""
    return scratch / f"level-{level}"


def _columns(tables: list[Copied]) -> dict[str, tuple[str, ...]]:
    columns: dict[str, tuple[str, ...]] = {}
    for one in tables:
        name = family(one.table) or ""
        if columns.setdefault(name, one.columns) != one.columns:
            raise Unreadable(f"the dump's {one.table} has other columns than {name}")
    return columns


def _pieces(tables: list[Copied]) -> Iterator[Piece]:
    for one in tables:
        if family(one.table) in (*BY_ENTRY, NODES):
            for start in range(one.start, one.end, PIECE):
                yield Piece(one, start, min(start + PIECE, one.end))


def _placed(path: Path, piece: Piece) -> list[Placed]:
    lines = lines_between(path, *piece)
    name = family(piece.copied.table) or ""
    try:
        if name == NODES:
            return list(_nodes(piece.copied, lines))
        return list(_rows(name, piece.copied.column("sequence"), lines))
    except (ValueError, IndexError, OverflowError) as error:
        raise Unreadable(f"a row of {piece.copied.table} in the dump cannot be read") from error


def _rows(name: str, column: int, lines: list[tuple[int, bytes]]) -> Iterator[Placed]:
    first, offsets = -1, array("Q")
    for offset, line in lines:
        index = int(line.split(b"\t", column + 1)[column])
        if index != first + len(offsets) or first < 0:
            if offsets:
                yield Placed(name, 0, first, offsets)
            first, offsets = index, array("Q")
        offsets.append(offset)
    if offsets:
        yield Placed(name, 0, first, offsets)


def _nodes(copied: Copied, lines: list[tuple[int, bytes]]) -> Iterator[Placed]:
    level_at, index_at, hash_at = (copied.column(name) for name in ("level", "idx", "hash"))
    level, first, hashes = -1, -1, bytearray()
    for _, line in lines:
        fields = line.split(b"\t")
        here, index, value = int(fields[level_at]), int(fields[index_at]), bytes_of(fields[hash_at])
        if value is None or len(value) != HASH or not 0 <= index < MOST_INDEX:
            raise ValueError("a node has an index and a hash of 32 bytes")
        if (here, index) != (level, first + len(hashes) // HASH):
            if hashes:
                yield Placed(NODES, level, first, bytes(hashes))
            level, first, hashes = here, index, bytearray()
        hashes += value
    if hashes:
        yield Placed(NODES, level, first, bytes(hashes))


def _keep_nodes(scratch: Path, placed: Placed) -> None:
    assert isinstance(placed.content, bytes)
    if placed.level in NODE_LEVELS:
        file = os.open(nodes_file(scratch, placed.level), os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            os.pwrite(file, placed.content, placed.first * HASH)
        finally:
            os.close(file)


def small_row(path: Path, survey: Survey, table: str) -> dict[str, bytes] | None:
    """The one row of a table that has one, by column; None when the dump has none."""
    copied = survey.small.get(table)
    if copied is None or copied.end == copied.start:
        return None
    rows = lines_between(path, copied, copied.start, min(copied.end, copied.start + MOST_SMALL_BYTES))
    if len(rows) != 1:
        raise Unreadable(f"the dump's table {table} has not one row")
    return dict(zip(copied.columns, rows[0][1].split(b"\t"), strict=False))


def checkpoint_rows(path: Path, survey: Survey) -> Iterator[tuple[int, bytes | None, str]]:
    """Size, root and note of all checkpoints, a piece at a time. Raises Unreadable."""
    for copied in survey.checkpoints:
        size_at, root_at, note_at = (copied.column(name) for name in ("size", "root", "note"))
        for start in range(copied.start, copied.end, PIECE):
            for _, line in lines_between(path, copied, start, min(start + PIECE, copied.end)):
                fields = line.split(b"\t")
                try:
                    yield int(fields[size_at]), bytes_of(fields[root_at]), text_of(fields[note_at]) or ""
                except (ValueError, IndexError) as error:
                    raise Unreadable(f"a row of {CHECKPOINTS} in the dump cannot be read") from error


def cosignature_lines(path: Path, survey: Survey) -> dict[int, str]:
    """The lines of cosignatures by size, of the newest sizes that have any. Raises Unreadable."""
    found: dict[int, str] = {}
    for copied in survey.cosignatures:
        size_at, line_at = copied.column("size"), copied.column("line")
        for start in range(copied.start, copied.end, PIECE):
            for _, row in lines_between(path, copied, start, min(start + PIECE, copied.end)):
                fields = row.split(b"\t")
                try:
                    size, line = int(fields[size_at]), text_of(fields[line_at]) or ""
                except (ValueError, IndexError) as error:
                    raise Unreadable(f"a row of {COSIGNATURES} in the dump cannot be read") from error
                found[size] = (found.get(size, "") + line)[:MOST_LINES_BYTES]
            if len(found) > 2 * MOST_COSIGNED:
                found = {size: found[size] for size in sorted(found)[-MOST_COSIGNED:]}
    return found
