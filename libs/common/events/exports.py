"""Messages about exports: asked for and ended early by command, finished and expired by whoever runs them."""

from typing import Any, ClassVar, Literal

from pydantic import Field

from libs.common.events.catalog import CommandData, MessageData, OutcomeData

_GATEWAY = "/reeve/gateway"
_ANY = "*"
_ID = "0199a0c0-0000-7000-8000-000000000001"
_QUERY = {"action": ["update_setting"]}

Compression = Literal["none", "gzip", "zstd"]


class StartExport(CommandData):
    """Write what the filters find in a source into a file. The id is the gateway's: it says where the job will be."""

    TYPE: ClassVar[str] = "reeve.command.export.start.v1"
    SOURCE: ClassVar[str] = _GATEWAY
    ACTION: ClassVar[str] = "start_export"
    EXAMPLE: ClassVar[dict[str, Any]] = {
        "action": "start_export", "export_id": _ID, "source": "audit", "format": "jsonl", "filters": _QUERY,
        "compression": "gzip",
    }  # fmt: skip

    action: Literal["start_export"] = "start_export"
    export_id: str = Field(max_length=36)
    source: str = Field(max_length=64)
    format: str = Field(max_length=32)
    compression: Compression = "none"
    options: dict[str, Any] = Field(default_factory=dict)
    filters: dict[str, Any] = Field(default_factory=dict)


class EndExport(CommandData):
    """Cancel an export that waits or runs; remove the file of one that has succeeded."""

    TYPE: ClassVar[str] = "reeve.command.export.end.v1"
    SOURCE: ClassVar[str] = _GATEWAY
    ACTION: ClassVar[str] = "end_export"
    EXAMPLE: ClassVar[dict[str, Any]] = {"action": "end_export", "export_id": _ID, "source": "audit"}

    action: Literal["end_export"] = "end_export"
    export_id: str = Field(max_length=36)
    source: str = Field(max_length=64)


class ExportStarted(OutcomeData):
    """An export waits for its turn."""

    TYPE: ClassVar[str] = "reeve.export.started.v1"
    SOURCE: ClassVar[str] = _ANY
    ACTION: ClassVar[str] = "start_export"
    EXAMPLE: ClassVar[dict[str, Any]] = {
        "export_id": _ID, "export_source": "audit", "format": "jsonl", "filters": _QUERY, "status": 201,
        "result": {"id": _ID, "state": "queued"},
    }  # fmt: skip

    export_id: str
    export_source: str
    format: str
    filters: dict[str, Any]


class ExportEnded(OutcomeData):
    """Its owner ended an export; `state` is what it was from then on."""

    TYPE: ClassVar[str] = "reeve.export.ended.v1"
    SOURCE: ClassVar[str] = _ANY
    ACTION: ClassVar[str] = "end_export"
    EXAMPLE: ClassVar[dict[str, Any]] = {
        "export_id": _ID, "export_source": "audit", "state": "cancelled", "status": 204,
    }  # fmt: skip

    export_id: str
    export_source: str
    state: str


class ExportFinished(MessageData):
    """An export has its file, or will never have one."""

    TYPE: ClassVar[str] = "reeve.export.finished.v1"
    SOURCE: ClassVar[str] = _ANY
    ACTION: ClassVar[str] = "finish_export"
    EXAMPLE: ClassVar[dict[str, Any]] = {
        "export_id": _ID, "export_source": "audit", "state": "succeeded", "outcome": "success", "rows": 4711,
        "bytes": 99000, "sha256": "00" * 32,
    }  # fmt: skip

    export_id: str
    export_source: str
    state: Literal["succeeded", "failed"]
    outcome: Literal["success", "failure"]
    rows: int
    bytes: int
    sha256: str | None = None
    error: dict[str, Any] | None = None


class ExportExpired(MessageData):
    """An export's file was removed because its time was over."""

    TYPE: ClassVar[str] = "reeve.export.expired.v1"
    SOURCE: ClassVar[str] = _ANY
    ACTION: ClassVar[str] = "expire_export"
    EXAMPLE: ClassVar[dict[str, Any]] = {"export_id": _ID, "export_source": "audit"}

    export_id: str
    export_source: str
