"""Operations: one row per accepted command, completed by its outcome event."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import orjson
from sqlalchemy import text

from libs.common.database.engine import Session, driver
from libs.common.errors import NotFound


@dataclass(frozen=True, slots=True)
class Operation:
    """A command's way: `accepted`, then `completed` or `rejected`, for good."""

    id: str
    admin_id: str
    action: str
    subject: str | None
    state: Literal["accepted", "completed", "rejected"]
    status: int | None
    result: Any
    error: Any
    created_at: datetime
    completed_at: datetime | None


@dataclass(frozen=True, slots=True)
class Completion:
    """How an operation ended."""

    operation_id: str
    state: str
    status: int
    result: Any
    error: Any


async def get(session: Session, operation_id: str) -> Operation:
    """One operation. Raises `NotFound`."""
    found = await session.execute(
        text(
            "SELECT id::text, admin_id, action, subject, state, status, result, error, created_at, completed_at"
            " FROM operations WHERE id = CAST(:id AS uuid)"
        ),
        {"id": operation_id},
    )
    row = found.first()
    if row is None:
        raise NotFound(f"no operation {operation_id}", code="operation_not_found")
    return Operation(**row._mapping)


async def complete(session: Session, completions: Sequence[Completion]) -> None:
    """Complete operations; one that has ended already stays as it ended."""
    connection = driver(session)
    await connection.execute(
        "UPDATE operations o SET state = c.state, status = c.status, result = c.result, error = c.error, completed_at = now()"
        " FROM unnest($1::uuid[], $2::text[], $3::int[], $4::jsonb[], $5::jsonb[]) AS c(id, state, status, result, error)"
        " WHERE o.id = c.id AND o.state = 'accepted'",
        [one.operation_id for one in completions],
        [one.state for one in completions],
        [one.status for one in completions],
        [_json(one.result) for one in completions],
        [_json(one.error) for one in completions],
    )


def _json(value: Any) -> str | None:
    return None if value is None else orjson.dumps(value).decode()
