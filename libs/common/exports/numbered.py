"""A table whose rows are numbered as a source of exports: places are the rows' numbers.

A row is written as it is when its window is read; what changes afterwards is not in the file.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar, get_origin

import orjson
from pydantic import BaseModel, ValidationError

from libs.common.database.engine import Connection
from libs.common.database.exports import ExportJob
from libs.common.errors import Invalid
from libs.common.events.envelope import rfc3339
from libs.common.exports.formats import Encode, file_of, head_of, write_rows
from libs.common.exports.rows import Column, CsvRows, JsonRows, Row
from libs.common.exports.source import GrowingFile, Question, Write

FORMATS = ("csv", "jsonl", "parquet")
WINDOW = 5_000
MOST_ERRORS = 50

FiltersT = TypeVar("FiltersT", bound=BaseModel)
ReadRows = Callable[[Connection, FiltersT, int, int], AsyncIterator[Sequence[Row]]]
"""The rows that filters find from one number to before another, in order, a few at a time."""


class NumberedSource(Generic[FiltersT]):
    """One such table. `filters` is the model of what may be asked; it refuses what it does not know."""

    formats: Sequence[str] = FORMATS
    connections = 1

    def __init__(
        self,
        name: str,
        *,
        columns: Sequence[Column],
        filters: type[FiltersT],
        rows: ReadRows[FiltersT],
        end: Callable[[Connection], Awaitable[int]],
        window: int = WINDOW,
    ) -> None:
        self.name = name
        self.window = window
        self._columns = tuple(columns)
        self._filters = filters
        self._rows = rows
        self._end = end

    def check(self, export_format: str, *, filters: Mapping[str, Any], options: Mapping[str, Any]) -> Question:
        """Filters in which one value may stand for a list of one; there are no options."""
        if options:
            raise Invalid(f"exports of {self.name} have no option {min(options)[:64]}", code="unknown_option")
        asked = self._asked(filters)
        return Question(filters=asked.model_dump(mode="json", exclude_defaults=True), options={})

    def open(self, job: ExportJob, path: Path) -> GrowingFile:
        """Rows for Parquet, bytes for everything else."""
        return file_of(job, path, self._columns)

    def head(self, job: ExportJob) -> bytes | None:
        """The names of the columns, where they stand in a line of their own."""
        return head_of(job, self._columns)

    async def end(self, connection: Connection) -> int:
        """The number behind the last row."""
        return await self._end(connection)

    async def write_window(
        self, connections: Sequence[Connection], job: ExportJob, *, start: int, stop: int, write: Write
    ) -> int:
        """The rows of these numbers that the filters find."""
        found = self._rows(connections[0], self._asked(job.filters), start, stop)
        return await write_rows(found, write, self._encoder(job))

    async def checkpoint(self, connection: Connection, ends: int) -> str | None:
        """Nothing vouches for rows that may change."""
        return None

    def _asked(self, filters: Mapping[str, Any]) -> FiltersT:
        lists = {name for name, field in self._filters.model_fields.items() if get_origin(field.annotation) is list}
        listed = {name: [one] if name in lists and isinstance(one, str) else one for name, one in filters.items()}
        try:
            return self._filters.model_validate(listed)
        except ValidationError as error:
            found = error.errors(include_url=False, include_input=False, include_context=False)[:MOST_ERRORS]
            errors = [
                {"loc": ["body", "filters", *one["loc"]], "msg": one["msg"], "type": one["type"]} for one in found
            ]
            place = ".".join(str(part) for part in errors[0]["loc"])
            raise Invalid(f"{place}: {errors[0]['msg']}", code="validation_error", errors=errors) from None

    def _encoder(self, job: ExportJob) -> Encode | None:
        match job.format:
            case "csv":
                return CsvRows(self._columns)
            case "jsonl":
                return JsonRows(partial(_body, self._columns))
            case _:
                return None


def _body(columns: Sequence[Column], row: Row) -> dict[str, Any]:
    return {column.name: _member(column, value) for column, value in zip(columns, row, strict=True)}


def _member(column: Column, value: Any) -> Any:
    if value is None:
        return None
    match column.kind:
        case "time":
            return rfc3339(value)
        case "json":
            return orjson.Fragment(value)
        case "text" | "integer" | "boolean":
            return value
