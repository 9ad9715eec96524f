"""The tables in a plain `pg_dump`: where the rows of each COPY are, and what a row says in COPY's text format."""

import binascii
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from services.audit.verifier.findings import Unreadable
from services.audit.verifier.lines import MOST_LINE_BYTES

SCHEMA = "audit"
_HEAD = re.compile(rb'COPY "?([^."\s]+)"?\."?([^."\s]+)"? \(([^)]*)\) FROM stdin;\n')
_END = b"\\.\n"
_CHUNK = 1024 * 1024
_ESCAPE = re.compile(rb"\\(x[0-9a-fA-F]{1,2}|[0-7]{1,3}|.)", re.DOTALL)
_LETTERS = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}


class Copied(NamedTuple):
    """The rows of one table, or of one partition: bytes [start, end) of the file, one line a row."""

    table: str
    columns: tuple[str, ...]
    start: int
    end: int

    def column(self, name: str) -> int:
        """The place of a column. Raises Unreadable when the table has none of that name."""
        if name not in self.columns:
            raise Unreadable(f"the dump's table {self.table} has no column {name}")
        return self.columns.index(name)


def copied_tables(path: Path) -> Iterator[Copied]:
    """All tables of the audit schema that have rows in a dump. Raises Unreadable for one that ends within a table."""
    with path.open("rb") as file:
        while line := file.readline(MOST_LINE_BYTES):
            found = _HEAD.fullmatch(line)
            if found is None:
                continue
            start = file.tell()
            end = _end_of_rows(file, start)
            if end is None:
                raise Unreadable(f"{path} ends within the rows of {found[2].decode(errors='replace')}: it was cut off")
            if found[1] == SCHEMA.encode():
                columns = (name.strip().strip('"') for name in found[3].decode(errors="replace").split(","))
                yield Copied(found[2].decode(errors="replace"), tuple(columns), start, end)
            file.seek(end + len(_END))


def _end_of_rows(file: BinaryIO, start: int) -> int | None:
    """Where the line is that ends the rows."""
    at, rest = start, b"\n"  # as if the line before the first row ended here
    while chunk := file.read(_CHUNK):
        window = rest + chunk
        found = window.find(b"\n" + _END)
        if found >= 0:
            return at - len(rest) + found + 1
        at += len(chunk)
        rest = window[-len(_END) :]
    return None


def lines_between(path: Path, copied: Copied, start: int, end: int) -> list[tuple[int, bytes]]:
    """The lines that begin in [start, end) of a table's rows, each with its offset."""
    with path.open("rb") as file:
        if start > copied.start:
            file.seek(start - 1)
            start += len(file.readline(MOST_LINE_BYTES)) - 1
        if start >= end:
            return []
        file.seek(start)
        data = file.read(end - start)
        if not data.endswith(b"\n"):
            data += file.readline(MOST_LINE_BYTES)
    found, at = [], start
    for line in data.split(b"\n")[:-1]:
        found.append((at, line))
        at += len(line) + 1
    return found


def text_of(field: bytes) -> str | None:
    """The text in a field; None for NULL. UnicodeDecodeError for what is not UTF-8."""
    if field == b"\\N":
        return None
    if field.count(b"\\") == 2 * field.count(b"\\\\"):  # nothing but doubled backslashes, or none: almost always
        return field.replace(b"\\\\", b"\\").decode()
    return _ESCAPE.sub(_unescaped, field).decode()


def texts_of(line: bytes) -> list[str | None]:
    """`text_of` each field of a row."""
    fields = line.decode().split("\t")
    return [text if "\\" not in text else None if text == "\\N" else text_of(text.encode()) for text in fields]


def bytes_of(field: bytes) -> bytes | None:
    r"""The bytes in a field of bytea in hex form (`\\x...`); None for NULL. ValueError for anything else."""
    if field == b"\\N":
        return None
    if not field.startswith(b"\\\\x"):
        raise ValueError("bytes are not in hex form")
    return binascii.unhexlify(field[3:])


def _unescaped(found: re.Match[bytes]) -> bytes:
    code = found[1]
    if code in _LETTERS:
        return _LETTERS[code]
    if code[:1] == b"x" and len(code) > 1:
        return bytes([int(code[1:], 16)])
    if code[:1].isdigit() and code[:1] < b"8":
        return bytes([int(code, 8) & 255])
    return code
