"""Messages about changes that need four eyes: who asked for what, who decided, and what came of it.

Each is about `approval/<id>`; `target` names what the change is about. Personal fields are masked.
"""

from typing import Any, ClassVar, Literal

from pydantic import AwareDatetime

from libs.common.events.catalog import Change, MessageData

_ID = "0199a0c0-0000-7000-8000-000000000001"
_USER = "0199a0c0-0000-7000-8000-000000000002"
_ASKER = "0199a0c0-0000-7000-8000-000000000003"
_EXAMPLE: dict[str, Any] = {
    "approval_id": _ID, "kind": "user_role", "target": f"user/{_USER}", "asked_by": _ASKER,
}  # fmt: skip


class ApprovalData(MessageData):
    """Which change it is about, and who asked for it."""

    SOURCE: ClassVar[str] = "/reeve/gateway"

    approval_id: str
    kind: str
    target: str
    asked_by: str


class ApprovalRequested(ApprovalData):
    """An administrator asked for a change that somebody else has to approve. Nothing has changed yet."""

    TYPE: ClassVar[str] = "reeve.approval.requested.v1"
    ACTION: ClassVar[str] = "request_approval"
    EXAMPLE: ClassVar[dict[str, Any]] = {
        **_EXAMPLE, "expires_at": "2026-01-02T08:00:00Z", "proposed": {"role": {"old": "admin", "new": "super_admin"}},
    }  # fmt: skip

    expires_at: AwareDatetime
    proposed: dict[str, Change]


class ApprovalGranted(ApprovalData):
    """Somebody else approved a change, and it was made: its own event names this one as its cause."""

    TYPE: ClassVar[str] = "reeve.approval.granted.v1"
    ACTION: ClassVar[str] = "approve_change"
    EXAMPLE: ClassVar[dict[str, Any]] = _EXAMPLE


class ApprovalRejected(ApprovalData):
    """Somebody else declined a change; it is not made."""

    TYPE: ClassVar[str] = "reeve.approval.rejected.v1"
    ACTION: ClassVar[str] = "reject_change"
    EXAMPLE: ClassVar[dict[str, Any]] = {**_EXAMPLE, "reason": "two of us are enough"}

    reason: str


class ApprovalWithdrawn(ApprovalData):
    """Whoever asked for a change took it back before it was decided."""

    TYPE: ClassVar[str] = "reeve.approval.withdrawn.v1"
    ACTION: ClassVar[str] = "withdraw_change"
    EXAMPLE: ClassVar[dict[str, Any]] = _EXAMPLE


class ApprovalExpired(ApprovalData):
    """Nobody decided a change in time; it is not made."""

    TYPE: ClassVar[str] = "reeve.approval.expired.v1"
    ACTION: ClassVar[str] = "expire_change"
    EXAMPLE: ClassVar[dict[str, Any]] = _EXAMPLE


class ApprovalFailed(ApprovalData):
    """A change was approved and could no longer be made as it was asked for: `failure` is the code of the reason."""

    TYPE: ClassVar[str] = "reeve.approval.failed.v1"
    ACTION: ClassVar[str] = "approve_change"
    EXAMPLE: ClassVar[dict[str, Any]] = {**_EXAMPLE, "failure": "version_conflict", "outcome": "failure"}

    failure: str
    outcome: Literal["failure"] = "failure"
