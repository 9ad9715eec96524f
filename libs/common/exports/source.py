"""What a service brings so that something of its can be exported."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from libs.common.database.engine import Connection
from libs.common.database.exports import ExportJob
from libs.common.exports.files import Compression

Write = Callable[[Any], Awaitable[None]]
"""Takes what the format's file takes: bytes, or rows for Parquet."""


class GrowingFile(Protocol):
    """Where a job's rows go."""

    is_resumable: bool
    """Whether a job may go on behind its last checkpoint; else it starts anew."""
    size: int

    async def write(self, data: Any) -> None:
        """Append; waits while enough is waiting."""
        ...

    async def checkpoint(self) -> int:
        """Make it durable; returns the size."""
        ...

    async def finish(self) -> int:
        """Make it whole; returns the size."""
        ...

    @property
    def sha256(self) -> str:
        """The digest of a file that is whole, in hexadecimal."""
        ...

    async def abandon(self) -> None:
        """Let go of it."""
        ...


@dataclass(frozen=True, slots=True)
class Question:
    """What was asked for, checked: the query in its canonical form, and the options of its format."""

    filters: Mapping[str, Any]
    options: Mapping[str, Any]


class Source(Protocol):
    """One source of exports.

    Its rows have a place each, from 0, that never changes and never has a row added below `end`: so a job sees one
    unchanging set, window by window, whatever is written meanwhile.
    """

    name: str
    formats: Sequence[str]
    window: int
    """How many places a job reads in one statement."""
    connections: int
    """How many connections a job reads with."""

    def check(self, export_format: str, *, filters: Mapping[str, Any], options: Mapping[str, Any]) -> Question:
        """The question in order. Raises `Invalid` that names what is wrong with it."""
        ...

    def open(self, job: ExportJob, path: Path) -> GrowingFile:
        """A new file for the job's format."""
        ...

    def head(self, job: ExportJob) -> bytes | None:
        """What stands before the first row."""
        ...

    async def end(self, connection: Connection) -> int:
        """The place behind the last row there is now."""
        ...

    async def write_window(
        self, connections: Sequence[Connection], job: ExportJob, *, start: int, stop: int, write: Write
    ) -> int:
        """Write the rows from place `start` to before `stop`, in order; returns how many."""
        ...

    async def checkpoint(self, connection: Connection, ends: int) -> str | None:
        """The signed note that vouches for the rows below `ends`; None where nothing does."""
        ...


def media_of(job: ExportJob) -> tuple[str, str]:
    """The file's name as a person sees it, and its content type."""
    endings = {"csv": "csv", "jsonl": "jsonl", "ocsf": "ocsf.jsonl", "parquet": "parquet"}
    types = {"csv": "text/csv; charset=utf-8", "parquet": "application/vnd.apache.parquet"}
    name = f"reeve-{job.source}-{job.id}.{endings.get(job.format, job.format)}"
    compression: Compression = "none" if job.format == "parquet" else job.compression  # type: ignore[assignment]
    match compression:
        case "gzip":
            return f"{name}.gz", "application/gzip"
        case "zstd":
            return f"{name}.zst", "application/zstd"
        case "none":
            return name, types.get(job.format, "application/jsonl")
