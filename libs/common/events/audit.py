"""What the audit service tells of its own log."""

from datetime import datetime
from typing import Annotated, Any, ClassVar

from pydantic import Field

from libs.common.events.catalog import MessageData

Number = Annotated[int, Field(ge=1, le=2**53 - 1)]


class LogHeartbeat(MessageData):
    """How far each service was heard when the log was alive: whoever leaves out later events contradicts it."""

    TYPE: ClassVar[str] = "reeve.audit.heartbeat.v1"
    SOURCE: ClassVar[str] = "/reeve/audit"
    ACTION: ClassVar[str] = "attest_audit_log"
    EXAMPLE: ClassVar[dict[str, Any]] = {
        "producers": {"audit": 3, "gateway": 4711, "notifications": 17, "settings": 12}, "at": "2026-01-31T12:00:00Z",
    }  # fmt: skip

    producers: dict[str, Number]
    at: datetime
