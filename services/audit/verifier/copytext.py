"""The tables in a plain `pg_dump`: where the rows of each COPY are, and what a row says in COPY's text format."""

import binascii
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple, TypeVar

from services.audit.verifier.findings import Unreadable
from services.audit.verifier.lines import MOST_LINE_BYTES

SCHEMA = "audit"
_HEAD = re.compile(rb'COPY "?([^."\s]+)"?\."?([^."\s]+)"? \(([^)]*)\) FROM stdin;\n')
_END = b"\\.\n"
_LAST = b"\n" + _END
_CHUNK = 1024 * 1024
_ESCAPE = re.compile(rb"\\(x[0-9a-fA-F]{1,2}|[0-7]{1,3}|.)", re.DOTALL)
Field = TypeVar("Field", bytes, str)
Pick = Callable[[Sequence[str]], Iterable[str]]
_LETTERS = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}


class Copied(NamedTuple):
    """The rows of one table, or of one partition, that begin in bytes [start, end) of the file, one line a row.

    `first` is where the table's rows begin: a piece that starts later may start within a line."""

    table: str
    columns: tuple[str, ...]
    first: int
    start: int
    end: int

    def column(self, name: str) -> int:
        """The place of a column. Raises Unreadable when the table has none of that name."""
        return column(self.table, self.columns, name)


def column(table: str, columns: Sequence[str], name: str) -> int:
    """The place of a column. Raises Unreadable when the table has none of that name."""
    if name not in columns:
        raise Unreadable(f"the dump's table {table} has no column {name}")
    return columns.index(name)


def copied_pieces(path: Path) -> Iterator[Copied]:
    """All tables of the audit schema in a dump, each in pieces of at most a MiB, while the file is being looked through; a
    table without rows is one empty piece. Raises Unreadable for one that ends within a table."""
    with path.open("rb") as file:
        while line := file.readline(MOST_LINE_BYTES):
            found = _HEAD.fullmatch(line)
            if found is None:
                continue
            table, columns = found[2].decode(errors="replace"), found[3].decode(errors="replace").split(",")
            rows = Copied(table, tuple(name.strip().strip('"') for name in columns), file.tell(), 0, 0)
            for start, end in _until_end(file, rows.first, f"{path} ends within the rows of {table}: it was cut off"):
                if found[1] == SCHEMA.encode():
                    yield rows._replace(start=start, end=end)


def _until_end(file: BinaryIO, first: int, cut_off: str) -> Iterator[tuple[int, int]]:
    """The rows from here on by pieces; then the file stands behind the line that ends them."""
    start, base, rest = first, first - 1, b"\n"  # as if the line before the first row ended here
    while chunk := file.read(_CHUNK):
        window = rest + chunk
        found = window.find(_LAST)
        if found >= 0:
            end = base + found + 1
            yield start, end
            file.seek(end + len(_END))
            return
        rest = window[1 - len(_LAST) :]  # may be the beginning of the end, which begins nowhere before it
        base += len(window) - len(rest)
        if base > start:
            yield start, base
            start = base
    raise Unreadable(cut_off)


def lines_of_piece(path: Path, piece: Copied) -> tuple[int, list[bytes]]:
    """The lines that begin in a piece, and the offset of the first."""
    with path.open("rb") as file:
        start = piece.start
        if start > piece.first:
            file.seek(start - 1)
            start += len(file.readline(MOST_LINE_BYTES)) - 1
        if start >= piece.end:
            return start, []
        file.seek(start)
        data = file.read(piece.end - start)
        if not data.endswith(b"\n"):
            data += file.readline(MOST_LINE_BYTES)
    return start, data.split(b"\n")[:-1]


def text_of(field: bytes) -> str | None:
    """The text in a field; None for NULL. UnicodeDecodeError for what is not UTF-8."""
    return _unescaped(field.decode())


def fields_of(line: bytes, width: int) -> list[bytes]:
    """The fields of a row, as they are written. ValueError when they are not as many."""
    return _whole(line.split(b"\t"), width)


def texts_of(line: bytes, width: int, pick: Pick) -> list[str | None]:
    """`text_of` some fields of a row. ValueError when it has not `width` of them."""
    fields = _whole(line.decode().split("\t"), width)
    return [text if "\\" not in text else None if text == "\\N" else _unescaped(text) for text in pick(fields)]


def bytes_of(field: bytes) -> bytes | None:
    r"""The bytes in a field of bytea in hex form (`\\x...`); None for NULL. ValueError for anything else."""
    if field == b"\\N":
        return None
    if not field.startswith(b"\\\\x"):
        raise ValueError("bytes are not in hex form")
    return binascii.unhexlify(field[3:])


def _whole(fields: list[Field], width: int) -> list[Field]:
    if len(fields) != width:
        raise ValueError(f"a row has {width} fields, not {len(fields)}")
    return fields


def _unescaped(text: str) -> str | None:
    if text == "\\N":
        return None
    if text.count("\\") == 2 * text.count("\\\\"):  # nothing but doubled backslashes, or none: almost always
        return text.replace("\\\\", "\\")
    return _ESCAPE.sub(_byte, text.encode()).decode()


def _byte(found: re.Match[bytes]) -> bytes:
    code = found[1]
    if code in _LETTERS:
        return _LETTERS[code]
    if code[:1] == b"x" and len(code) > 1:
        return bytes([int(code[1:], 16)])
    if code[:1].isdigit() and code[:1] < b"8":
        return bytes([int(code, 8) & 255])
    return code
