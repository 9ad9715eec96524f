"""What the gateway records of requests and operations."""

from typing import Any, ClassVar, Literal

from libs.common.events.catalog import MessageData, OutcomeData


class RequestRecorded(MessageData):
    """One admin request that no other event speaks for: a read, a denial, a refusal, a failure."""

    TYPE: ClassVar[str] = "reeve.request.recorded.v1"
    SOURCE: ClassVar[str] = "/reeve/gateway"
    ACTION: ClassVar[str] = "record_request"
    EXAMPLE: ClassVar[dict[str, Any]] = {
        "action": "list_settings", "outcome": "success", "method": "GET", "path": "/api/v1/admin/settings", "status": 200,
    }  # fmt: skip

    action: str
    outcome: Literal["success", "denied", "failure"]
    method: str
    path: str
    status: int
    permission: str | None = None
    error: str | None = None
    would_deny: str | None = None
    """The permission that the caller lacked, where denials are only observed and the request was let through."""
    target_type: str | None = None
    target_id: str | None = None
    details: dict[str, Any] | None = None


class OperationAccepted(MessageData):
    """A command is durable in the gateway's outbox; its outcome follows under the same operation id."""

    TYPE: ClassVar[str] = "reeve.operation.accepted.v1"
    SOURCE: ClassVar[str] = "/reeve/gateway"
    ACTION: ClassVar[str] = "accept_operation"
    EXAMPLE: ClassVar[dict[str, Any]] = {
        "operation_id": "0199a0c0-0000-7000-8000-000000000001", "operation": "update_setting",
        "command": "reeve.command.setting.change.v1",
    }  # fmt: skip

    operation_id: str
    operation: str
    command: str


class OperationRejected(OutcomeData):
    """A service refused a command: validation, conflict, version. `error` is the body's `detail`."""

    TYPE: ClassVar[str] = "reeve.operation.rejected.v1"
    SOURCE: ClassVar[str] = "*"
    ACTION: ClassVar[str] = "reject_operation"
    EXAMPLE: ClassVar[dict[str, Any]] = {
        "status": 409, "operation_id": "0199a0c0-0000-7000-8000-000000000001", "action": "create_setting",
        "error": {"error": "setting_exists", "message": "theme exists already"},
    }  # fmt: skip

    operation_id: str
    action: str
    error: dict[str, Any]
