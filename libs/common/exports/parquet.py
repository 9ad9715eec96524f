"""A Parquet file, written in row groups by a thread of its own; memory holds one group.

The footer comes last and names every group, so a file that was not finished cannot be gone on with: whoever takes
such a job over starts anew.
"""

import asyncio
import os
import queue
import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from libs.common.exports.files import Compression, digest
from libs.common.exports.rows import Column, Row

ROWS_IN_A_GROUP = 8_192
WAIT_SECONDS = 0.5
_CODECS: dict[Compression, str] = {"none": "uncompressed", "gzip": "gzip(6)", "zstd": "zstd(3)"}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class _Abandoned(Exception):
    """The file is not wanted any more."""


class ParquetFile:
    """Takes rows; text and JSON become strings, times are microseconds in UTC."""

    is_resumable = False
    size = 0
    sha256 = ""

    def __init__(self, path: Path, columns: Sequence[Column], compression: Compression) -> None:
        self._path = path
        self._columns = columns
        self._codec = _CODECS[compression]
        self._rows: queue.Queue[Sequence[Row] | None] = queue.Queue(maxsize=2)
        self._error: BaseException | None = None
        self._is_abandoned = threading.Event()
        path.touch(mode=0o600)
        self._thread = threading.Thread(target=self._run, name="parquet", daemon=True)
        self._thread.start()

    async def write(self, rows: Sequence[Row]) -> None:
        """Hand rows over; waits while two batches are waiting already."""
        await asyncio.to_thread(self._put, rows)

    async def checkpoint(self) -> int:
        """The size so far; nothing of it is of use before the end."""
        self.size = self._path.stat().st_size
        return self.size

    async def finish(self) -> int:
        """Write the footer; returns the size."""
        await asyncio.to_thread(self._put, None)
        await asyncio.to_thread(self._thread.join)
        self._raise()
        self.sha256 = await asyncio.to_thread(digest, self._path)
        return await self.checkpoint()

    async def abandon(self) -> None:
        """End the thread."""
        self._is_abandoned.set()
        await asyncio.to_thread(self._thread.join)

    def _put(self, rows: Sequence[Row] | None) -> None:
        while True:
            self._raise()
            try:
                self._rows.put(rows, timeout=WAIT_SECONDS)
            except queue.Full:
                continue
            return

    def _raise(self) -> None:
        if self._error is not None:
            raise OSError("the Parquet file cannot be written") from self._error

    def _run(self) -> None:
        try:
            # Imported where they are used: 33 MiB of library that only this needs.
            from arro3 import core, io  # noqa: PLC0415

            schema = core.Schema([core.Field(one.name, _type_of(one, core), nullable=True) for one in self._columns])
            reader = core.RecordBatchReader.from_batches(schema, self._batches(core, schema))
            with self._path.open("wb") as file:
                io.write_parquet(
                    reader, file, compression=self._codec, max_row_group_size=ROWS_IN_A_GROUP, created_by="reeve"
                )
                file.flush()
                os.fsync(file.fileno())
        except BaseException as error:
            self._error = error

    def _batches(self, core: Any, schema: Any) -> Iterator[Any]:
        while True:
            if self._is_abandoned.is_set():
                raise _Abandoned
            try:
                rows = self._rows.get(timeout=WAIT_SECONDS)
            except queue.Empty:
                continue
            if rows is None:
                return
            values = zip(*rows, strict=True)
            arrays = [_array(one, list(column), core) for one, column in zip(self._columns, values, strict=True)]
            yield core.RecordBatch.from_arrays(arrays, schema=schema)


def _type_of(column: Column, core: Any) -> Any:
    match column.kind:
        case "integer":
            return core.DataType.int64()
        case "boolean":
            return core.DataType.bool()
        case "time":
            return core.DataType.timestamp("us", tz="UTC")
        case "text" | "json":
            return core.DataType.utf8()


def _array(column: Column, values: list[Any], core: Any) -> Any:
    if column.kind != "time":
        return core.Array(values, _type_of(column, core))
    counted = [None if moment is None else (moment - _EPOCH) // _MICROSECOND for moment in values]
    return core.Array(counted, core.DataType.int64()).cast(_type_of(column, core))
