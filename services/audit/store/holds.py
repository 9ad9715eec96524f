"""Legal holds: placed, lifted, and asked before anything is removed or erased."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import asyncpg

from libs.common.database.engine import Session, driver
from libs.common.events.retention import HoldFilter
from libs.common.ids import new_uuid
from services.audit.models.redactions import ACTS_AS_ADMIN, Subject
from services.audit.models.retention import Hold

_FILTER = ("target_type", "target_id", "actor_id", "event_type", "date_from", "date_to")
_COLUMNS = f"id, name, reason, {', '.join(_FILTER)}, placed_at, placed_by, lifted_at, lifted_by, lift_reason"
_TURN = "SELECT pg_advisory_xact_lock(hashtextextended('reeve.audit.holds', 0))"
_BLOCKING = """
    SELECT name FROM legal_holds AS h WHERE lifted_at IS NULL AND EXISTS (
        SELECT FROM entries AS e
        WHERE ((e.admin_user_id = $2 AND $1 = $3) OR (e.target_type = $1 AND e.target_id = $2)) AND keeps(h, e)
    ) ORDER BY name
"""


async def place(session: Session, *, name: str, reason: str, filters: HoldFilter, by: str) -> Hold | None:
    """A new one; None when one of this name is in force. Entries that a run is about to remove are held or gone."""
    values = [getattr(filters, member) for member in _FILTER]
    row = await driver(session).fetchrow(
        f"INSERT INTO legal_holds (id, name, reason, placed_by, {', '.join(_FILTER)})"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"
        f" ON CONFLICT (name) WHERE lifted_at IS NULL DO NOTHING RETURNING {_COLUMNS}",
        new_uuid(), name, reason, by, *values,
    )  # fmt: skip
    return None if row is None else _hold(row)


async def find(session: Session, hold_id: UUID) -> Hold | None:
    """One, in force or lifted; whoever asks has it until the end of the transaction."""
    row = await driver(session).fetchrow(f"SELECT {_COLUMNS} FROM legal_holds WHERE id = $1 FOR UPDATE", hold_id)
    return None if row is None else _hold(row)


async def lift(session: Session, hold_id: UUID, *, reason: str, by: str) -> Hold:
    """It holds no longer."""
    row = await driver(session).fetchrow(
        "UPDATE legal_holds SET lifted_at = clock_timestamp(), lifted_by = $2, lift_reason = $3 WHERE id = $1"
        f" RETURNING {_COLUMNS}",
        hold_id, by, reason,
    )  # fmt: skip
    return _hold(row)


async def in_force(session: Session, *, most: int) -> Sequence[Hold]:
    """Those that hold now, newest first."""
    rows = await driver(session).fetch(
        f"SELECT {_COLUMNS} FROM legal_holds WHERE lifted_at IS NULL ORDER BY placed_at DESC LIMIT $1", most
    )
    return [_hold(row) for row in rows]


async def count_in_force(session: Session) -> int:
    """How many hold now; whoever asks has the turn to place one until the commit."""
    connection = driver(session)
    await connection.execute(_TURN)
    return int(await connection.fetchval("SELECT count(*) FROM legal_holds WHERE lifted_at IS NULL"))


async def blocked_by(session: Session, subject: Subject) -> Sequence[str]:
    """The names of the holds that keep an entry which tells of the subject. Nobody places one
    until the end of the caller's transaction."""
    connection = driver(session)
    await connection.execute(_TURN)
    rows = await connection.fetch(_BLOCKING, subject.type, subject.id, ACTS_AS_ADMIN)
    return [row["name"] for row in rows]


def _hold(row: asyncpg.Record) -> Hold:
    found: dict[str, Any] = dict(row)
    filters = HoldFilter(**{member: found.pop(member) for member in _FILTER})
    return Hold(**{**found, "id": UUID(int=found["id"].int)}, filter=filters.model_dump(mode="json", exclude_none=True))
