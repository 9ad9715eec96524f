"""Entries that have a leaf and that no signed checkpoint reaches in time, and whether that was told."""

from dataclasses import dataclass
from datetime import datetime

from libs.common.database.engine import Session, driver

_OVERDUE = """
    SELECT leaf.sequence AS first, (SELECT size FROM log_state) - leaf.sequence AS waiting, leaf.since
    FROM (SELECT coalesce(max(size), 0) AS size FROM log_checkpoints) AS signed, LATERAL (
        SELECT sequence, (convert_from(body, 'UTF8')::jsonb ->> 'received_at')::timestamptz AS since FROM log_leaves
        WHERE sequence >= signed.size ORDER BY sequence LIMIT 1
    ) AS leaf
    WHERE leaf.since <= clock_timestamp() - make_interval(secs => $1)
"""
_NOTE = "UPDATE log_overdue SET first = $1, since = $2 WHERE first IS NULL RETURNING 1"
_CLEAR = """
    WITH told AS (SELECT first FROM log_overdue WHERE first IS NOT NULL FOR UPDATE)
    UPDATE log_overdue SET first = NULL, since = NULL FROM told RETURNING told.first
"""


@dataclass(frozen=True, slots=True)
class Overdue:
    """The first entry that waits too long for a signed head, how many wait with it, and since when it does."""

    first: int
    waiting: int
    since: datetime


async def find(session: Session, *, older_than_seconds: float) -> Overdue | None:
    """What no signed checkpoint reaches after so long; None when all is well."""
    row = await driver(session).fetchrow(_OVERDUE, older_than_seconds)
    return None if row is None else Overdue(**row)


async def note(session: Session, overdue: Overdue) -> bool:
    """Note that it is told of; False when something is told of already."""
    return await driver(session).fetchval(_NOTE, overdue.first, overdue.since) is not None


async def clear(session: Session) -> int | None:
    """Nothing is overdue any more: the place that was told of, None when nothing was."""
    first: int | None = await driver(session).fetchval(_CLEAR)
    return first
