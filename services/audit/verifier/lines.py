"""Reading lines of files that nobody vouches for: of bounded length, plain or gzip, with one error for all that can go wrong."""

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

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
            data = file.read(most + 1)
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
    with path.open("rb") as file:
        packed = file.read(2) == _GZIP
    return gzip.open(path, "rb") if packed else path.open("rb")  # type: ignore[return-value]


def _said(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
