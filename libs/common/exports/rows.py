"""Rows as bytes: CSV that is safe to open, and one JSON object a line."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import orjson

from libs.common.events.envelope import rfc3339
from libs.common.exports.formula import neutral

Kind = Literal["text", "integer", "boolean", "time", "json"]
Row = Sequence[Any]
"""The values of one row in the order of its columns: str, int, bool, an aware datetime, JSON as text; or None."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of an export."""

    name: str
    kind: Kind


class CsvRows:
    """CSV (RFC 4180, UTF-8): every field that has a value is quoted, so that an empty text and no value differ."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self.head = _line(_quoted(column.name) for column in columns)
        self._cells = [_CELLS[column.kind] for column in columns]

    def __call__(self, rows: Iterable[Row]) -> bytes:
        """The lines of these rows."""
        columns = list(zip(*rows, strict=True))
        if not columns:
            return b""
        cells = [_column(cell, values) for cell, values in zip(self._cells, columns, strict=True)]
        return b"".join(map(_line, zip(*cells, strict=True)))


class JsonRows:
    """One JSON object a line, as `body` makes it of a row."""

    head = b""

    def __init__(self, body: Callable[[Row], Mapping[str, Any]]) -> None:
        self._body = body

    def __call__(self, rows: Iterable[Row]) -> bytes:
        """The lines of these rows."""
        body = self._body
        return b"".join(orjson.dumps(body(row), option=orjson.OPT_APPEND_NEWLINE) for row in rows)


def _column(cell: Callable[[Any], str], values: Sequence[Any]) -> list[str]:
    """The cells of one column; what stands in many rows is made once."""
    made = {value: "" if value is None else cell(value) for value in set(values)}
    return [made[value] for value in values]


def _line(cells: Iterable[str]) -> bytes:
    # A text holds no lone surrogate where it comes from Postgres; elsewhere it must not end an export.
    return f"{','.join(cells)}\r\n".encode("utf-8", "replace")


def _quoted(text: str) -> str:
    return '"' + neutral(text).replace('"', '""') + '"'


def _time(moment: datetime) -> str:
    return f'"{rfc3339(moment)}"'


def _integer(number: int) -> str:
    return f'"{number}"'


def _boolean(value: bool) -> str:
    return '"true"' if value else '"false"'


_CELLS: Mapping[Kind, Callable[[Any], str]] = {
    "text": _quoted, "json": _quoted, "integer": _integer, "boolean": _boolean, "time": _time,
}  # fmt: skip
