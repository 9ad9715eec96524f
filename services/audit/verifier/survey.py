"""The first pass over a dump: where its rows are, by entry, and the hashes of its nodes; in files, read by many processes."""

import os
from array import array
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from services.audit.verifier.copytext import Copied, bytes_of, copied_pieces, fields_of, lines_of_piece, text_of
from services.audit.verifier.findings import Unreadable
from services.audit.verifier.places import MOST_INDEX, Places, runs_of, starts_of
from services.audit.verifier.pool import Pool
from services.audit.verifier.source import HASH, NODE_LEVELS

LEAVES, ENTRIES, OPENINGS, NODES = "log_leaves", "entries", "log_openings", "log_nodes"
BY_ENTRY = (LEAVES, ENTRIES, OPENINGS)
SMALL = ("log_head", "log_state")
CHECKPOINTS = "log_checkpoints"
COSIGNATURES = "log_cosignatures"
MOST_COSIGNED = 4096
"""Sizes whose cosignatures are read: the newest, for those before them say nothing more."""
MOST_LINES_BYTES = 128 * 1024


class Placed(NamedTuple):
    """Rows of consecutive entries, or nodes of one level: from index `first`, offsets of lines or joined hashes."""

    table: str
    level: int
    first: int
    content: "array[int] | bytes"


class Survey(NamedTuple):
    """What a dump has. `columns` are those of a table or its partitions, which all have the same; small tables are kept as the
    pieces of the file that have their rows."""

    columns: dict[str, tuple[str, ...]]
    places: dict[str, Path]
    ends: dict[str, int]
    counts: dict[str, int]
    repeated: dict[str, list[int]]
    nodes: Path
    checkpoints: list[Copied]
    cosignatures: list[Copied]
    small: dict[str, list[Copied]]


def family(table: str) -> str | None:
    """The table whose partition this is, or that it is itself, of those that matter."""
    for name in (*BY_ENTRY, NODES, CHECKPOINTS, COSIGNATURES, *SMALL):
        if table == name or (name in BY_ENTRY and table.startswith(f"{name}_")):
            return name
    return None


def survey(path: Path, scratch: Path, pool: Pool) -> Survey:
    """Look through a dump. Raises Unreadable when it is none, or has no log."""
    columns: dict[str, tuple[str, ...]] = {}
    others: dict[str, list[Copied]] = defaultdict(list)
    places = {name: Places(scratch / name) for name in BY_ENTRY}
    for many in pool.map(partial(_placed, path), _pieces(path, columns, others)):
        for one in many:
            if isinstance(one.content, bytes):
                _keep_nodes(scratch, one)
            else:
                places[one.table].put(one.first, one.content)
    for one_place in places.values():
        one_place.close()
    if LEAVES not in columns:
        raise Unreadable(
            f"{path} has no rows of audit.{LEAVES}: it is not a plain pg_dump of the audit schema (without --inserts)"
        )
    return Survey(
        columns, {name: scratch / name for name in BY_ENTRY}, {name: one.end for name, one in places.items()},
        {name: one.count for name, one in places.items()}, {name: one.repeated for name, one in places.items()}, scratch,
        others[CHECKPOINTS], others[COSIGNATURES], {name: others[name] for name in SMALL},
    )  # fmt: skip


def nodes_file(scratch: Path, level: int) -> Path:
    """The file with the hashes of one level, each at its index."""
    return scratch / f"level-{level}"


def _pieces(path: Path, columns: dict[str, tuple[str, ...]], others: dict[str, list[Copied]]) -> Iterator[Copied]:
    """The pieces of large tables, as they are found; the columns of all, and the pieces of small ones, are put aside."""
    for piece in copied_pieces(path):
        name = family(piece.table)
        if name is None:
            continue
        if columns.setdefault(name, piece.columns) != piece.columns:
            raise Unreadable(f"the dump's {piece.table} has other columns than {name}")
        if name in (*BY_ENTRY, NODES):
            yield piece
        else:
            others[name].append(piece)


def _placed(path: Path, piece: Copied) -> list[Placed]:
    offset, lines = lines_of_piece(path, piece)
    name = family(piece.table) or ""
    try:
        if name == NODES:
            return list(_nodes(piece, lines))
        place = piece.column("sequence")
        indexes = [int(line.split(b"\t", place + 1)[place]) for line in lines]
        return [Placed(name, 0, *run) for run in runs_of(indexes, starts_of(lines, offset))]
    except (ValueError, IndexError, OverflowError) as error:
        raise Unreadable(f"a row of {piece.table} in the dump cannot be read") from error


def _nodes(copied: Copied, lines: list[bytes]) -> Iterator[Placed]:
    level_at, index_at, hash_at = (copied.column(name) for name in ("level", "idx", "hash"))
    level, first, hashes = -1, -1, bytearray()
    for line in lines:
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
    pieces = survey.small[table][:2]
    rows = [line for piece in pieces for line in lines_of_piece(path, piece)[1]]
    if not rows:
        return None
    if len(rows) != 1:
        raise Unreadable(f"the dump's table {table} has not one row")
    return dict(zip(pieces[0].columns, rows[0].split(b"\t"), strict=False))


def checkpoint_rows(path: Path, survey: Survey) -> Iterator[tuple[int, bytes | None, str]]:
    """Size, root and note of all checkpoints, a piece at a time. Raises Unreadable."""
    for size, root, note in _rows_of(path, survey.checkpoints, ("size", "root", "note")):
        try:
            yield int(size), bytes_of(root), text_of(note) or ""
        except ValueError as error:
            raise Unreadable(f"a row of {CHECKPOINTS} in the dump cannot be read") from error


def cosignature_lines(path: Path, survey: Survey) -> dict[int, str]:
    """The lines of cosignatures by size, of the newest sizes that have any. Raises Unreadable."""
    found: dict[int, str] = {}
    for cosigned, text in _rows_of(path, survey.cosignatures, ("size", "line")):
        try:
            size, line = int(cosigned), text_of(text) or ""
        except ValueError as error:
            raise Unreadable(f"a row of {COSIGNATURES} in the dump cannot be read") from error
        found[size] = (found.get(size, "") + line)[:MOST_LINES_BYTES]
        if len(found) > 2 * MOST_COSIGNED:
            found = {size: found[size] for size in sorted(found)[-MOST_COSIGNED:]}
    return found


def _rows_of(path: Path, pieces: list[Copied], names: Sequence[str]) -> Iterator[list[bytes]]:
    """The fields of these columns, row by row."""
    for piece in pieces:
        places = [piece.column(name) for name in names]
        for line in lines_of_piece(path, piece)[1]:
            try:
                fields = fields_of(line, len(piece.columns))
            except ValueError as error:
                raise Unreadable(f"a row of {piece.table} in the dump cannot be read") from error
            yield [fields[place] for place in places]
