"""What the log was told to announce as pruned, and its removal by the two functions that may."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from uuid import UUID

import orjson

from libs.common.database.engine import Session, driver
from libs.common.events.retention import EntriesPruned
from services.audit.models.retention import Span

LOCK = "SELECT pg_try_advisory_lock(hashtextextended('reeve.audit.retention', 0))"


@dataclass(frozen=True, slots=True)
class Prune:
    """One announcement. `sequence` is its place in the log, once it is there."""

    id: UUID
    archive_first: int
    event_id: str
    first: int
    last: int
    sequence: int | None


_OPEN = "SELECT id, archive_first, event_id, first, last, sequence FROM log_prunes WHERE done_at IS NULL"


async def append(session: Session, *, prune_id: UUID, archive_first: int, event_id: str, spans: Sequence[Span]) -> None:
    """What is announced by this event, in the transaction that sends it."""
    await driver(session).execute(
        "INSERT INTO log_prunes (id, archive_first, event_id, first, last) VALUES ($1, $2, $3, $4, $5)",
        prune_id, archive_first, event_id, min(span.first for span in spans), max(span.last for span in spans),
    )  # fmt: skip


async def is_open(session: Session, archive_first: int) -> bool:
    """Whether something is announced of this archive and not done."""
    sql = "SELECT EXISTS (SELECT FROM log_prunes WHERE archive_first = $1 AND done_at IS NULL)"
    return bool(await driver(session).fetchval(sql, archive_first))


async def locate(session: Session) -> int:
    """Find the places of announcements that have one by now; returns how many still have none that a head covers."""
    connection = driver(session)
    await connection.execute(
        "UPDATE log_prunes AS p SET sequence = e.sequence FROM entries AS e"
        " WHERE p.sequence IS NULL AND e.action = $1 AND e.event_id = p.event_id"
        " AND e.created_at >= (SELECT min(announced_at) FROM log_prunes WHERE sequence IS NULL) - interval '1 hour'",
        EntriesPruned.ACTION,
    )
    return int(
        await connection.fetchval(
            "SELECT count(*) FROM log_prunes WHERE done_at IS NULL AND (sequence IS NULL"
            " OR sequence >= (SELECT coalesce(max(size), 0) FROM log_checkpoints))"
        )
    )


async def ready(session: Session) -> Sequence[Prune]:
    """Announcements that a signed head covers and that are not done, oldest first."""
    rows = await driver(session).fetch(
        f"{_OPEN} AND sequence < (SELECT coalesce(max(size), 0) FROM log_checkpoints) ORDER BY sequence"
    )
    return [Prune(**{**row, "id": UUID(int=row["id"].int)}) for row in rows]


async def months(session: Session, *, first: int, last: int) -> Sequence[date]:
    """The months with partitions of their own in which entries between these places were recorded, and that are over."""
    rows = await driver(session).fetch(
        "SELECT DISTINCT to_date(right(tableoid::regclass::text, 7), 'YYYY_MM') AS month FROM entries"
        " WHERE sequence >= $1 AND sequence <= $2 AND tableoid::regclass::text ~ 'entries_[0-9]{4}_[0-9]{2}$' ORDER BY month",
        first, last,
    )  # fmt: skip
    return [row["month"] for row in rows]


async def drop_month(session: Session, month: date, *, announced: Sequence[int], timeout_seconds: float) -> int | None:
    """Remove a month at once; None where something of it has to stay. `announced` are places of announcements."""
    connection = driver(session)
    await connection.execute(f"SET LOCAL statement_timeout = '{int(timeout_seconds * 1000)}'")
    found: int | None = await connection.fetchval(
        "SELECT prune_month($1, $2::bigint[])", month, list(announced), timeout=timeout_seconds
    )
    return found


async def remove(session: Session, prune: Prune, *, most: int) -> int:
    """Remove up to `most` entries that this announcement names and that may go; returns how many."""
    gone = int(await driver(session).fetchval("SELECT prune_entries($1, $2)", prune.sequence, most))
    await driver(session).execute("UPDATE log_prunes SET pruned = pruned + $2 WHERE id = $1", prune.id, gone)
    return gone


async def finish(session: Session, prune: Prune) -> None:
    """Nothing that it names may go any more."""
    await driver(session).execute("UPDATE log_prunes SET done_at = clock_timestamp() WHERE id = $1", prune.id)


async def announced(session: Session, *, first: int, end: int) -> Sequence[Span]:
    """The spans that announcements name of the places `first` to before `end`, as their leaves say them."""
    rows = await driver(session).fetch(
        "SELECT l.body FROM log_prunes AS p JOIN log_leaves AS l ON l.sequence = p.sequence"
        " WHERE p.first < $2 AND p.last >= $1",
        first, end,
    )  # fmt: skip
    return list(_spans(row["body"] for row in rows))


def _spans(bodies: Iterable[bytes]) -> Iterable[Span]:
    for body in bodies:
        for one in orjson.loads(body)["public"]["ranges"]:
            yield Span(one.get("type"), one["first"], one["last"], 0)
