"""Messages about roles, and about permissions that are asked for and granted for a time."""

from typing import Any, ClassVar, Literal

from libs.common.events.catalog import Change, MessageData

_ID = "0199a0c0-0000-7000-8000-000000000001"
_REQUEST = "0199a0c0-0000-7000-8000-000000000002"
_UNTIL = "2026-01-02T08:00:00Z"

EndReason = Literal["expired", "given_back", "revoked", "role_changed", "deactivated"]
"""Why a grant ended: by itself, by its holder, by an administrator, or with what its holder was."""


class RoleChanged(MessageData):
    """A custom role came to be or became another; it holds for everybody who has it, from now on."""

    TYPE: ClassVar[str] = "reeve.role.changed.v1"
    SOURCE: ClassVar[str] = "/reeve/gateway"
    ACTION: ClassVar[str] = "change_role"
    EXAMPLE: ClassVar[dict[str, Any]] = {
        "name": "auditor", "level": "read", "permissions": ["audit:read"], "version": 1,
        "changes": {"permissions": {"new": ["audit:read"]}},
    }  # fmt: skip

    name: str
    level: str
    permissions: list[str]
    version: int
    changes: dict[str, Change]


class RoleDeleted(MessageData):
    """A custom role that nobody held is gone."""

    TYPE: ClassVar[str] = "reeve.role.deleted.v1"
    SOURCE: ClassVar[str] = "/reeve/gateway"
    ACTION: ClassVar[str] = "delete_role"
    EXAMPLE: ClassVar[dict[str, Any]] = {"name": "auditor", "changes": {"permissions": {"old": ["audit:read"]}}}

    name: str
    changes: dict[str, Change]


class AccessRequested(MessageData):
    """An administrator asks for a permission that their role lacks."""

    TYPE: ClassVar[str] = "reeve.access.requested.v1"
    SOURCE: ClassVar[str] = "/reeve/gateway"
    ACTION: ClassVar[str] = "request_access"
    EXAMPLE: ClassVar[dict[str, Any]] = {
        "request_id": _REQUEST, "user_id": _ID, "permission": "billing:read", "reason": "the quarter's close",
    }  # fmt: skip

    request_id: str
    user_id: str
    permission: str
    reason: str


class AccessWithdrawn(MessageData):
    """An administrator took a request back before it was decided."""

    TYPE: ClassVar[str] = "reeve.access.withdrawn.v1"
    SOURCE: ClassVar[str] = "/reeve/gateway"
    ACTION: ClassVar[str] = "withdraw_access_request"
    EXAMPLE: ClassVar[dict[str, Any]] = {"request_id": _REQUEST, "user_id": _ID, "permission": "billing:read"}

    request_id: str
    user_id: str
    permission: str


class AccessRejected(MessageData):
    """A request for a permission was declined."""

    TYPE: ClassVar[str] = "reeve.access.rejected.v1"
    SOURCE: ClassVar[str] = "/reeve/gateway"
    ACTION: ClassVar[str] = "reject_access"
    EXAMPLE: ClassVar[dict[str, Any]] = {
        "request_id": _REQUEST, "user_id": _ID, "permission": "billing:read", "reason": "ask finance for the report",
    }  # fmt: skip

    request_id: str
    user_id: str
    permission: str
    reason: str


class AccessGranted(MessageData):
    """An administrator holds a permission until a moment, from now on."""

    TYPE: ClassVar[str] = "reeve.access.granted.v1"
    SOURCE: ClassVar[str] = "/reeve/gateway"
    ACTION: ClassVar[str] = "approve_access"
    EXAMPLE: ClassVar[dict[str, Any]] = {
        "request_id": _REQUEST, "user_id": _ID, "permission": "billing:read", "until": _UNTIL,
        "changes": {"billing:read": {"old": False, "new": True}},
    }  # fmt: skip

    request_id: str
    user_id: str
    permission: str
    until: str
    changes: dict[str, Change]


class AccessEnded(MessageData):
    """A permission that was granted for a time is held no longer."""

    TYPE: ClassVar[str] = "reeve.access.ended.v1"
    SOURCE: ClassVar[str] = "/reeve/gateway"
    ACTION: ClassVar[str] = "end_access"
    EXAMPLE: ClassVar[dict[str, Any]] = {
        "request_id": _REQUEST, "user_id": _ID, "permission": "billing:read", "until": _UNTIL, "reason": "expired",
        "changes": {"billing:read": {"old": True, "new": False}},
    }  # fmt: skip

    request_id: str
    user_id: str
    permission: str
    until: str
    reason: EndReason
    changes: dict[str, Change]
