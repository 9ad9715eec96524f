"""What the formats have in common for every source whose rows are told by columns: a file, its head, and its rows."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from pathlib import Path

from libs.common.database.exports import ExportJob
from libs.common.exports.files import COMPRESSIONS, ByteFile, Compression
from libs.common.exports.parquet import ParquetFile
from libs.common.exports.rows import Column, CsvRows, Row
from libs.common.exports.source import GrowingFile, Write

Encode = Callable[[Iterable[Row]], bytes]


def file_of(job: ExportJob, path: Path, columns: Sequence[Column]) -> GrowingFile:
    """A new file: of rows for Parquet, of bytes for everything else."""
    compression: Compression = next(one for one in COMPRESSIONS if one == job.compression)
    return ParquetFile(path, columns, compression) if job.format == "parquet" else ByteFile(path, compression)


def head_of(job: ExportJob, columns: Sequence[Column]) -> bytes | None:
    """The names of the columns, where they stand in a line of their own."""
    return CsvRows(columns).head if job.format == "csv" else None


async def write_rows(found: AsyncIterator[Sequence[Row]], write: Write, encode: Encode | None) -> int:
    """Write rows as they come, encoded where the file takes bytes; returns how many."""
    count = 0
    async for rows in found:
        await write(rows if encode is None else encode(rows))
        count += len(rows)
        # Whoever else lives in this process has a turn between a few milliseconds of encoding.
        await asyncio.sleep(0)
    return count
