"""Gaps in the numbers of services: holes behind which later numbers were seen, and what was told of them."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from libs.common.broker.topology import AUDIT_EVENTS
from libs.common.database.engine import Session, driver
from libs.common.ids import new_uuid
from libs.common.web.paging import MOST_COUNT
from services.audit.models.gaps import Gap, Hole

_HOLES = """
    SELECT producer, before + 1 AS first, producer_seq - 1 AS last, since FROM (
        SELECT seen.producer, producer_seq,
               min(seen_at) OVER (PARTITION BY seen.producer ORDER BY producer_seq DESC) AS since,
               lag(producer_seq, 1, watermark) OVER (PARTITION BY seen.producer ORDER BY producer_seq) AS before
        FROM inbox_seen AS seen JOIN inbox USING (consumer, producer)
        WHERE consumer = $1 AND above > 0 AND producer_seq > watermark
    ) AS numbered
    WHERE producer_seq > before + 1 AND since <= clock_timestamp() - make_interval(secs => $2)
    ORDER BY producer, first
"""
_COLUMNS = "id, producer, first, last, since, told_at, closed_at, how"


async def take_turn(session: Session) -> bool:
    """Whether nobody else looks at the same time; whoever does holds it until the commit."""
    sql = "SELECT pg_try_advisory_xact_lock(hashtextextended('reeve.audit.gaps', 0))"
    return bool(await driver(session).fetchval(sql))


async def holes(session: Session, *, older_than_seconds: float) -> Sequence[Hole]:
    """The holes that have been there that long, in order."""
    rows = await driver(session).fetch(_HOLES, AUDIT_EVENTS.name, older_than_seconds)
    return [Hole(**row) for row in rows]


async def all_open(session: Session) -> Sequence[Gap]:
    """The gaps that were told of and are not closed."""
    return [_gap(row) for row in await driver(session).fetch(f"SELECT {_COLUMNS} FROM gaps WHERE closed_at IS NULL")]


async def append(session: Session, hole: Hole) -> Gap:
    """Note that a hole is told of."""
    row = await driver(session).fetchrow(
        f"INSERT INTO gaps (id, producer, first, last, since) VALUES ($1, $2, $3, $4, $5) RETURNING {_COLUMNS}",
        new_uuid(), hole.producer, hole.first, hole.last, hole.since,
    )  # fmt: skip
    return _gap(row)


async def close(session: Session, gap: Gap, *, how: str) -> None:
    """Note how a gap ended."""
    sql = "UPDATE gaps SET closed_at = clock_timestamp(), how = $2 WHERE id = $1"
    await driver(session).execute(sql, gap.id, how)


async def forget(session: Session, *, days: float) -> None:
    """Remove what ended long ago; the log remembers it."""
    sql = "DELETE FROM gaps WHERE closed_at < now() - make_interval(secs => $1 * 86400)"
    await driver(session).execute(sql, days)


async def search(
    session: Session, *, is_open: bool | None, before: UUID | None, skip: int, limit: int
) -> Sequence[Gap]:
    """The newest first."""
    rows = await driver(session).fetch(
        f"SELECT {_COLUMNS} FROM gaps WHERE ($1::boolean IS NULL OR (closed_at IS NULL) = $1)"
        " AND ($2::uuid IS NULL OR id < $2) ORDER BY id DESC LIMIT $3 OFFSET $4",
        is_open, before, limit, skip,
    )  # fmt: skip
    return [_gap(row) for row in rows]


async def count(session: Session, *, is_open: bool | None) -> int:
    """How many there are, counted up to one more than a list says exactly."""
    sql = (
        "SELECT count(*) FROM (SELECT FROM gaps WHERE ($1::boolean IS NULL OR (closed_at IS NULL) = $1)"
        f" LIMIT {MOST_COUNT + 1}) AS counted"
    )
    return int(await driver(session).fetchval(sql, is_open))


def _gap(row: Any) -> Gap:
    return Gap(**{**row, "id": UUID(int=row["id"].int)})
