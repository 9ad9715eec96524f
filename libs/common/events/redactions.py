"""Messages about personal data that is erased from the audit log."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from libs.common.events.catalog import CommandData, MessageData, OutcomeData

_GATEWAY = "/reeve/gateway"
_AUDIT = "/reeve/audit"
_ID = "0199a0c0-0000-7000-8000-000000000001"
_USER = "0199a0c0-0000-7000-8000-00000000000a"

SubjectType = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
SubjectId = Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f\x7f]+$")]
Reason = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
"""Why: a case number or a law. It is public in the log for ever, so it names nobody."""
Place = Annotated[int, Field(ge=0, lt=2**53)]


class StartRedaction(CommandData):
    """Erase one subject's personal data from the entries that are in the log now."""

    TYPE: ClassVar[str] = "reeve.command.redaction.start.v1"
    SOURCE: ClassVar[str] = _GATEWAY
    ACTION: ClassVar[str] = "redact_audit_logs"
    EXAMPLE: ClassVar[dict[str, Any]] = {
        "action": "redact_audit_logs", "subject_type": "user", "subject_id": _USER, "reason": "case 2026-17",
    }  # fmt: skip

    action: Literal["redact_audit_logs"] = "redact_audit_logs"
    subject_type: SubjectType
    subject_id: SubjectId
    reason: Reason


class RedactionStarted(OutcomeData):
    """An erasure is asked for and will be done; one that is under way already is told again."""

    TYPE: ClassVar[str] = "reeve.redaction.started.v1"
    SOURCE: ClassVar[str] = _AUDIT
    ACTION: ClassVar[str] = "redact_audit_logs"
    EXAMPLE: ClassVar[dict[str, Any]] = {
        "status": 201, "redaction_id": _ID, "subject_type": "user", "subject_id": _USER, "reason": "case 2026-17",
        "result": {"id": _ID, "state": "queued"},
    }  # fmt: skip

    redaction_id: str
    subject_type: SubjectType
    subject_id: SubjectId
    reason: Reason


class AuditRedacted(MessageData):
    """Members of entries are erased: their values and what would open their commitments. It is in the log before it is
    done, and its details are public in its leaf, so that an erasure that nobody announced is found.

    `paths` name the members; `entries` has sequence numbers, or ranges as `[first, last]`.
    """

    TYPE: ClassVar[str] = "reeve.audit.redacted.v1"
    SOURCE: ClassVar[str] = _AUDIT
    ACTION: ClassVar[str] = "announce_redaction"
    EXAMPLE: ClassVar[dict[str, Any]] = {
        "redaction_id": _ID, "subject_type": "user", "subject_id": _USER, "reason": "case 2026-17",
        "paths": ["/admin_username", "/ip_address", "/user_agent"], "entries": [7, [9, 12]],
    }  # fmt: skip

    redaction_id: str
    subject_type: SubjectType
    subject_id: SubjectId
    reason: Reason
    paths: list[str]
    entries: list[Place | tuple[Place, Place]]


class RedactionFinished(MessageData):
    """An erasure has come to its end: so many entries lost members, and so many files with them are withdrawn."""

    TYPE: ClassVar[str] = "reeve.redaction.finished.v1"
    SOURCE: ClassVar[str] = _AUDIT
    ACTION: ClassVar[str] = "finish_redaction"
    EXAMPLE: ClassVar[dict[str, Any]] = {
        "redaction_id": _ID, "subject_type": "user", "subject_id": _USER, "reason": "case 2026-17", "entries": 6,
        "exports": 1,
    }  # fmt: skip

    redaction_id: str
    subject_type: SubjectType
    subject_id: SubjectId
    reason: Reason
    entries: int
    exports: int
