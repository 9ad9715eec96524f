"""The audit log as a source of exports: in the log's own order, up to where it ended when the job began."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from libs.common.database.engine import Connection
from libs.common.database.exports import ExportJob
from libs.common.errors import Invalid
from libs.common.exports.formats import Encode, file_of, head_of, write_rows
from libs.common.exports.rows import Column, CsvRows, JsonRows, Kind, Row
from libs.common.exports.source import GrowingFile, Question, Write
from services.audit.models import ocsf
from services.audit.schemas import FilterQuery, filters_of
from services.audit.store import checkpoints
from services.audit.store import exporting as store
from services.audit.store.lines import copy_lines

SOURCE = "audit"
PERMISSION = "audit:export"
WINDOW = 40_000
LEAST_SHARED = 2_000
"""A window of fewer places is read by one connection."""
CONNECTIONS = 2
FORMATS = ("csv", "jsonl", "parquet", "ocsf")
_KINDS: Mapping[str, Kind] = {
    "sequence": "integer", "created_at": "time", "recorded_at": "time", "details": "json", "changes": "json",
    "redactions": "json",
}  # fmt: skip
COLUMNS = tuple(Column(name, _KINDS.get(name, "text")) for name in store.names())
_NAMES = tuple(column.name for column in COLUMNS)


class AuditSource:
    """Places are the entries' sequence numbers."""

    name = SOURCE
    formats: Sequence[str] = FORMATS
    window = WINDOW
    connections = CONNECTIONS

    def check(self, export_format: str, *, filters: Mapping[str, Any], options: Mapping[str, Any]) -> Question:
        """Filters are those of the list; the one option is `ocsf_version`."""
        asked = filters_of(filters, below=("body", "filters"))
        if unknown := options.keys() - {"ocsf_version"}:
            raise Invalid(f"audit exports have no option {min(unknown)[:64]}", code="unknown_option")
        version = options.get("ocsf_version")
        if export_format != "ocsf":
            if version is not None:
                raise Invalid("ocsf_version belongs to the format ocsf alone", code="unknown_option")
            return Question(filters=asked.named(), options={})
        version = version or ocsf.DEFAULT_VERSION
        if version not in ocsf.VERSIONS:
            known = ", ".join(ocsf.VERSIONS)
            raise Invalid(f"ocsf_version must be one of {known}, got {str(version)[:32]}", code="unknown_ocsf_version")
        return Question(filters=asked.named(), options={"ocsf_version": version})

    def open(self, job: ExportJob, path: Path) -> GrowingFile:
        """Rows for Parquet, bytes for everything else."""
        return file_of(job, path, COLUMNS)

    def head(self, job: ExportJob) -> bytes | None:
        """The names of the columns, where they stand in a line of their own."""
        return head_of(job, COLUMNS)

    async def end(self, connection: Connection) -> int:
        """The size of the log."""
        return await store.end_of_log(connection)

    async def write_window(
        self, connections: Sequence[Connection], job: ExportJob, *, start: int, stop: int, write: Write
    ) -> int:
        """The entries of these sequence numbers that the filters find."""
        filters = FilterQuery.model_validate(job.filters).filters()
        for connection in connections:
            await store.prepare(connection)
        if job.format == "jsonl":
            # Lines cost Postgres more than whoever takes them: two of its processes make them.
            makers = connections if stop - start >= LEAST_SHARED else connections[:1]
            return await copy_lines(makers, filters, start=start, stop=stop, write=write)
        found = store.rows(connections[0], filters, start=start, stop=stop)
        return await write_rows(found, write, _encoder(job))

    async def checkpoint(self, connection: Connection, ends: int) -> str | None:
        """The log's signed note over at least `ends` entries; None until the signer has come so far."""
        return await checkpoints.covering(connection, ends)


def _encoder(job: ExportJob) -> Encode | None:
    match job.format:
        case "csv":
            return CsvRows(COLUMNS)
        case "ocsf":
            return JsonRows(partial(_ocsf_event, version=job.options["ocsf_version"]))
        case _:
            return None


def _ocsf_event(row: Row, *, version: str) -> dict[str, Any]:
    return ocsf.event_of(dict(zip(_NAMES, row, strict=True)), version=version)
