"""What the audit service tells of its own log."""

from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from libs.common.events.catalog import MessageData

Number = Annotated[int, Field(ge=1, le=2**53 - 1)]
Place = Annotated[int, Field(ge=0, le=2**53 - 1)]


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


class GapDetected(MessageData):
    """Numbers of a service are missing in the log while later ones are there: said once, however long it lasts."""

    TYPE: ClassVar[str] = "reeve.audit.gap.detected.v1"
    SOURCE: ClassVar[str] = "/reeve/audit"
    ACTION: ClassVar[str] = "detect_audit_gap"
    EXAMPLE: ClassVar[dict[str, Any]] = {
        "gap_id": "0199a0c0-0000-7000-8000-000000000001", "producer": "settings", "first": 12, "last": 14, "missing": 3,
        "since": "2026-01-31T12:00:00Z",
    }  # fmt: skip

    gap_id: str
    producer: str
    first: Number
    last: Number
    missing: Number
    since: datetime
    """When the first number behind the gap came."""


class GapClosed(MessageData):
    """A gap that was told of is none any more: its numbers came, or are waited for no longer."""

    TYPE: ClassVar[str] = "reeve.audit.gap.closed.v1"
    SOURCE: ClassVar[str] = "/reeve/audit"
    ACTION: ClassVar[str] = "close_audit_gap"
    EXAMPLE: ClassVar[dict[str, Any]] = {
        "gap_id": "0199a0c0-0000-7000-8000-000000000001", "producer": "settings", "first": 12, "last": 14, "how": "filled",
    }  # fmt: skip

    gap_id: str
    producer: str
    first: Number
    last: Number
    how: Literal["filled", "given_up"]


class InclusionOverdue(MessageData):
    """Entries are stored whose leaves no signed checkpoint reaches: their receipts cannot be kept. Said once, however long it
    lasts."""

    TYPE: ClassVar[str] = "reeve.audit.inclusion.overdue.v1"
    SOURCE: ClassVar[str] = "/reeve/audit"
    ACTION: ClassVar[str] = "detect_overdue_inclusion"
    EXAMPLE: ClassVar[dict[str, Any]] = {"first": 4711, "waiting": 12, "since": "2026-01-31T12:00:00Z"}

    first: Place
    waiting: Number
    since: datetime
    """When the first of them was stored."""


class InclusionCaughtUp(MessageData):
    """What was overdue is below a signed checkpoint, and nothing else waits too long."""

    TYPE: ClassVar[str] = "reeve.audit.inclusion.caught_up.v1"
    SOURCE: ClassVar[str] = "/reeve/audit"
    ACTION: ClassVar[str] = "catch_up_inclusion"
    EXAMPLE: ClassVar[dict[str, Any]] = {"first": 4711}

    first: Place
