"""Reading lines of files that nobody vouches for: of bounded length, plain or gzip, with one error for all that can go wrong."""

import gzip
import os
import stat
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from services.audit.verifier.findings import Unreadable

MOST_LINE_BYTES = 4 * 1024 * 1024
"""The longest line that is read: a leaf has at most 16 KiB, its details 32 KiB before they are escaped."""
_MOST_WAITING = 16 * 1024 * 1024
_CHUNK = 1024 * 1024
_GZIP = b"\x1f\x8b"


def lines_of(path: Path) -> Iterator[bytes]:
    """The lines of a file, each without its line break. Raises Unreadable: a line too long, a last line without its end."""
    for block in blocks_of(path, 1):
        yield block[0]


class Piece(NamedTuple):
    """Whole lines of a plain file: `lines` of them in bytes [start, end); `number` of the file's lines are before them."""

    start: int
    end: int
    number: int
    lines: int


def is_packed(path: Path) -> bool:
    """Whether a file begins as gzip. Raises Unreadable."""
    try:
        with path.open("rb") as file:
            return file.read(2) == _GZIP
    except OSError as error:
        raise Unreadable(f"{path} cannot be read: {_said(error)}") from error


def pieces_of(path: Path, start: int = 0, number: int = 0) -> Iterator[Piece]:
    """A plain file in pieces of about a MiB, for others to read, from an offset on, before which it has `number` lines. Raises
    Unreadable: a line too long, a last line without its end."""
    piece = Piece(start, start, number, 0)
    read = start
    try:
        with path.open("rb") as file:
            file.seek(start)
            while chunk := file.read(_CHUNK):
                last = chunk.rfind(b"\n") + 1
                if last:
                    piece = Piece(piece.end, read + last, piece.number + piece.lines, chunk.count(b"\n"))
                    yield piece
                read += len(chunk)
                if read - piece.end > MOST_LINE_BYTES:
                    raise Unreadable(f"{path}: a line is longer than {MOST_LINE_BYTES} bytes")
    except OSError as error:
        raise Unreadable(f"{path} cannot be read: {_said(error)}") from error
    if read > piece.end:
        raise Unreadable(f"{path} ends within a line: it was cut off")


def lines_in(path: Path, piece: Piece) -> list[bytes]:
    """The lines of a piece. Raises Unreadable when they are not there any more."""
    try:
        with path.open("rb") as file:
            file.seek(piece.start)
            lines = file.read(piece.end - piece.start).split(b"\n")
    except OSError as error:
        raise Unreadable(f"{path} cannot be read: {_said(error)}") from error
    if len(lines) != piece.lines + 1:
        raise Unreadable(f"{path} was changed while it was read")
    return lines[:-1]


def blocks_of(path: Path, count: int) -> Iterator[list[bytes]]:
    """The lines of a file, `count` at once, fewer at the end and where lines are very long."""
    waiting: list[bytes] = []
    rest, size = b"", 0
    try:
        with _opened(path) as file:
            while chunk := file.read(_CHUNK):
                *whole, rest = (rest + chunk).split(b"\n")
                if len(rest) > MOST_LINE_BYTES:
                    raise Unreadable(f"{path}: a line is longer than {MOST_LINE_BYTES} bytes")
                waiting += whole
                size += len(chunk)
                at = 0
                while len(waiting) - at >= count:
                    yield waiting[at : at + count]
                    at, size = at + count, 0
                del waiting[:at]
                if size > _MOST_WAITING and waiting:
                    yield waiting
                    waiting, size = [], 0
    except (OSError, EOFError, zlib.error) as error:
        raise Unreadable(f"{path} cannot be read: {_said(error)}") from error
    if rest:
        raise Unreadable(f"{path} ends within a line: it was cut off")
    if waiting:
        yield waiting


def read_small(path: Path, *, most: int) -> bytes:
    """A file that is meant to be small. Raises Unreadable when it is longer than `most` bytes or cannot be read."""
    try:
        with path.open("rb") as file:
            about = os.fstat(file.fileno())
            # As much room as asked for is made, so not for the longest file that may be.
            data = file.read(min(about.st_size, most) + 1 if stat.S_ISREG(about.st_mode) else most + 1)
    except OSError as error:
        raise Unreadable(f"{path} cannot be read: {_said(error)}") from error
    if len(data) > most:
        raise Unreadable(f"{path} is longer than {most} bytes")
    return data


def read_text(path: Path, *, most: int) -> str:
    """A small file of UTF-8 text. Raises Unreadable."""
    try:
        return read_small(path, most=most).decode()
    except UnicodeDecodeError as error:
        raise Unreadable(f"{path} is not text in UTF-8") from error


def first_bytes(path: Path, count: int) -> tuple[bytes, bytes]:
    """The first bytes of a file, as they are and unpacked. Raises Unreadable."""
    try:
        with path.open("rb") as raw, _opened(path) as unpacked:
            return raw.read(count), unpacked.read(count)
    except (OSError, EOFError, zlib.error) as error:
        raise Unreadable(f"{path} cannot be read: {_said(error)}") from error


def _opened(path: Path) -> BinaryIO:
    return gzip.open(path, "rb") if is_packed(path) else path.open("rb")  # type: ignore[return-value]


def _said(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
