"""Where in a file the line of each entry begins: eight bytes an entry in a temporary file, so that memory stays flat.

Rows of a dump, and of openings, need not stand in the order of their entries: a row that was changed stands at the end
of its table. With their places known, all files are read by entry.
"""

import os
import tempfile
from array import array
from collections.abc import Sequence
from itertools import accumulate, pairwise
from pathlib import Path
from typing import BinaryIO

from services.audit.verifier.findings import Unreadable
from services.audit.verifier.lines import MOST_LINE_BYTES

WIDTH = 8
MOST_INDEX = 2**36
"""Beyond this no index is believed. The file is sparse: only what is there takes space."""
Run = tuple[int, "array[int]"]
"""An index, and where the lines of it and those after it begin."""
MOST_SPAN = 16 * 1024 * 1024


class Places:
    """Offsets of lines by index, kept in `path`. One process writes, then any may read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.end = 0
        self.count = 0
        self.repeated: list[int] = []
        self._file = path.open("w+b", buffering=0)

    def put(self, first: int, offsets: Sequence[int]) -> None:
        """The lines of consecutive indexes begin at these offsets. Raises Unreadable for an index beyond all bounds."""
        last = first + len(offsets) - 1
        if not 0 <= first <= last < MOST_INDEX:
            raise Unreadable(f"there is a row of entry {last}, and no log has as many")
        stored = array("Q", (offset + 1 for offset in offsets))
        before = array("Q", os.pread(self._file.fileno(), WIDTH * len(offsets), WIDTH * first))
        if any(before):
            self.repeated += [first + at for at, one in enumerate(before) if one]
        os.pwrite(self._file.fileno(), stored.tobytes(), WIDTH * first)
        self.end = max(self.end, last + 1)
        self.count += len(offsets)

    def close(self) -> None:
        """All is written."""
        self._file.close()


def believable(count: int) -> int:
    """The highest end of a log of which `count` entries are there: beyond it a place is a mistake, and not worth the way."""
    return 4 * count + 1_000_000


def offsets_at(path: Path, first: int, count: int) -> list[int | None]:
    """Where the lines of `count` indexes begin; None for those that are not there."""
    with path.open("rb", buffering=0) as file:
        stored = array("Q", os.pread(file.fileno(), WIDTH * count, WIDTH * first))
    return [one - 1 if one else None for one in stored] + [None] * (count - len(stored))


def starts_of(lines: Sequence[bytes], offset: int) -> list[int]:
    """Where these lines begin, when the first begins at an offset and each follows the one before it."""
    return list(accumulate((len(line) + 1 for line in lines[:-1]), initial=offset))


def runs_of(indexes: Sequence[int], offsets: Sequence[int]) -> list[Run]:
    """Offsets by index, as few runs of consecutive indexes."""
    kept = array("Q", offsets)
    steps = [at for at, (one, other) in enumerate(pairwise(indexes), 1) if other != one + 1]
    return [(indexes[start], kept[start:end]) for start, end in pairwise([0, *steps, len(indexes)]) if start < end]


def lines_at(path: Path, offsets: Sequence[int | None]) -> list[bytes | None]:
    """The lines that begin at these offsets, without their breaks; as one read when they lie close together."""
    there = [one for one in offsets if one is not None]
    if not there:
        return [None] * len(offsets)
    with path.open("rb") as file:
        low, high = min(there), max(there)
        if high - low > MOST_SPAN:
            return [None if one is None else _line_at(file, one) for one in offsets]
        file.seek(low)
        span = file.read(high - low)
        last = _line_at(file, high)
    lines = [*span.split(b"\n")[:-1], last]
    if starts_of(lines, low) == offsets:  # almost always: one behind the other, as they are wanted
        return [*lines]
    span += last
    return [None if one is None else span[one - low : _break_after(span, one - low)] for one in offsets]


def _break_after(span: bytes, at: int) -> int:
    found = span.find(b"\n", at)
    return len(span) if found < 0 else found


def _line_at(file: BinaryIO, offset: int) -> bytes:
    file.seek(offset)
    return file.readline(MOST_LINE_BYTES).rstrip(b"\n")


def temporary_folder() -> "tempfile.TemporaryDirectory[str]":
    """A folder for such files; `with` removes it."""
    return tempfile.TemporaryDirectory(prefix="reeve-verifier-")
