"""An operation as its owner polls it."""

from datetime import datetime
from typing import Any, Literal, Self

from pydantic import BaseModel

from services.gateway.features.operations.store import Operation


class OperationResponse(BaseModel):
    """A command's way: accepted, then completed or rejected for good."""

    operation_id: str
    status: Literal["accepted", "completed", "rejected"]
    action: str
    target: str | None
    result_status: int | None
    result: Any
    error: Any
    created_at: datetime
    completed_at: datetime | None

    @classmethod
    def of(cls, operation: Operation) -> Self:
        """From the stored row."""
        return cls(
            operation_id=operation.id, status=operation.state, action=operation.action, target=operation.subject,
            result_status=operation.status, result=operation.result, error=operation.error,
            created_at=operation.created_at, completed_at=operation.completed_at,
        )  # fmt: skip
