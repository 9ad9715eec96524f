"""Every SQL statement about security events."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, String, bindparam, func, literal_column, select, text, tuple_, update
from sqlalchemy.dialects import postgresql

from libs.common.database.engine import Connection, Session
from libs.common.database.numbered import end_of, rows_of
from libs.common.ids import new_id
from libs.common.web.paging import MOST_COUNT
from services.gateway.features.security_events.models import (
    NewSecurityEvent,
    Overview,
    SecurityEvent,
    already_resolved,
    security_event_not_found,
)
from services.gateway.tables import security_events as e

MOST_TOP = 10
MOST_UNTOLD = 20
KEPT_DAYS = 365
MOST_KEPT = 100_000
_SHOWN = (
    e.c.id, e.c.event_type, e.c.severity, e.c.rule, e.c.subject, e.c.count, e.c.user_id, e.c.ip_address, e.c.user_agent,
    e.c.details, e.c.resolved, e.c.resolved_by, e.c.resolved_at, e.c.notes, e.c.created_at, e.c.last_at, e.c.told_by,
)  # fmt: skip
_IS_OPEN = ~e.c.resolved
# Literal, as the partial index has it.
_IS_UNTOLD = (e.c.severity == literal_column("'critical'")) & e.c.told_by.is_(None)


@dataclass(frozen=True, slots=True)
class Search:
    """What a list of security events is narrowed down to."""

    event_types: Sequence[str] = ()
    severities: Sequence[str] = ()
    resolved: bool | None = None
    user_id: str | None = None
    ip_address: str | None = None
    rule: str | None = None
    date_from: datetime | None = None
    date_to: datetime | None = None


@dataclass(frozen=True, slots=True)
class Untold:
    """A critical event of which it is not known that anybody was told; `body` is its event while that waits."""

    id: str
    body: bytes | None


async def append(session: Session, new: Sequence[NewSecurityEvent]) -> list[SecurityEvent]:
    """Keep new events, in the order given."""
    rows = [
        {
            "id": new_id(), "fingerprint": one.fingerprint, "event_type": one.event_type, "severity": one.severity,
            "rule": one.rule, "subject": one.subject, "count": one.count, "user_id": one.user_id,
            "ip_address": one.ip_address, "user_agent": one.user_agent, "details": dict(one.details),
            "created_at": one.created_at, "last_at": one.last_at,
        }
        for one in new
    ]  # fmt: skip
    added = postgresql.insert(e).values(rows).returning(*_SHOWN)
    found = {row.id: SecurityEvent(**row._mapping) for row in await session.execute(added)}
    return [found[row["id"]] for row in rows]


async def count_on(session: Session, *, fingerprint: str, count: int, last_at: datetime) -> None:
    """Note how far an event has come that was raised before."""
    going_on = update(e).where(e.c.fingerprint == bindparam("known", type_=String))
    await session.execute(going_on.values(count=count, last_at=last_at), {"known": fingerprint})


async def load_last(session: Session, groups: Sequence[tuple[str, str]]) -> list[tuple[str, SecurityEvent]]:
    """The last event of each of these rules and subjects, with its fingerprint."""
    if not groups:
        return []
    found = (
        select(e.c.fingerprint, *_SHOWN)
        .where(tuple_(e.c.rule, e.c.subject).in_(list(groups)))
        .distinct(e.c.rule, e.c.subject)
        .order_by(e.c.rule, e.c.subject, e.c.created_at.desc(), e.c.id.desc())
    )
    last = []
    for row in await session.execute(found):
        members = dict(row._mapping)
        last.append((str(members.pop("fingerprint")), SecurityEvent(**members)))
    return last


async def newest_outbox_position(session: Session) -> int:
    """Where the outbox ends now."""
    return int((await session.execute(text("SELECT coalesce(max(position), 0) FROM outbox"))).scalar_one())


async def remember_place(session: Session, event_ids: dict[str, str], *, after: int) -> None:
    """Note where in the outbox the events wait that tell of security events: by id, the id of what tells of it."""
    await session.execute(
        text(
            "UPDATE security_events SET outbox_position = outbox.position FROM outbox, "
            "unnest(CAST(:ids AS uuid[]), CAST(:events AS text[])) AS told (id, event_id) "
            "WHERE outbox.position > :after AND outbox.event_id = told.event_id AND security_events.id = told.id"
        ),
        {"ids": list(event_ids), "events": list(event_ids.values()), "after": after},
    )


async def load_untold(session: Session, *, older_than: timedelta) -> list[Untold]:
    """Critical events that nobody was told of for a while, the oldest first."""
    found = await session.execute(
        text(
            "SELECT security_events.id::text AS id, outbox.body FROM security_events "
            "LEFT JOIN outbox ON outbox.position = security_events.outbox_position "
            "WHERE severity = 'critical' AND told_by IS NULL AND security_events.created_at < clock_timestamp() - CAST(:age AS interval) "
            "ORDER BY security_events.id LIMIT :most"
        ),
        {"age": older_than, "most": MOST_UNTOLD},
    )
    return [Untold(row.id, row.body) for row in found]


async def note_told(session: Session, event_id: str, *, by: str) -> bool:
    """Note that the notifications service knows of an event; False when that was noted before."""
    told = update(e).where(e.c.id == event_id, e.c.told_by.is_(None)).values(told_by=by).returning(e.c.id)
    return (await session.execute(told)).one_or_none() is not None


async def get(session: Session, event_id: str) -> SecurityEvent:
    """One event. Raises `NotFound`."""
    row = (await session.execute(select(*_SHOWN).where(e.c.id == event_id))).one_or_none()
    if row is None:
        raise security_event_not_found(event_id)
    return SecurityEvent(**row._mapping)


async def resolve(session: Session, event_id: str, *, by: str, notes: str) -> SecurityEvent:
    """Resolve an event. Raises `NotFound`, and `Conflict` where that was done before."""
    done = (
        update(e)
        .where(e.c.id == event_id, _IS_OPEN)
        .values(resolved=True, resolved_by=by, resolved_at=func.now(), notes=notes)
        .returning(*_SHOWN)
    )
    row = (await session.execute(done)).one_or_none()
    if row is None:
        await get(session, event_id)
        raise already_resolved(event_id)
    return SecurityEvent(**row._mapping)


async def search(
    session: Session, sought: Search, *, before: str | None, skip: int, limit: int
) -> tuple[list[SecurityEvent], int]:
    """Events, newest first, from after the id `before` on, and how many there are (counted up to one too many)."""
    matching = _conditions(sought)
    page = select(*_SHOWN).where(*matching)
    if before is not None:
        page = page.where(e.c.id < before)
    rows = await session.execute(page.order_by(e.c.id.desc()).offset(skip).limit(limit))
    capped = select(e.c.id).where(*matching).limit(MOST_COUNT + 1).subquery()
    total = (await session.execute(select(func.count()).select_from(capped))).scalar_one()
    return [SecurityEvent(**row._mapping) for row in rows], total


async def overview(session: Session, *, hours: int) -> Overview:
    """What is open, and what came in the last `hours`."""
    since = func.now() - timedelta(hours=hours)
    recent = e.c.created_at > since
    hour = func.date_trunc("hour", e.c.created_at, "UTC")
    count = func.count()
    untold = await session.scalar(select(count).select_from(e).where(_IS_UNTOLD))
    by_hour = await session.execute(select(hour, count).where(recent).group_by(hour).order_by(hour))
    return Overview(
        open_by_severity=await _counts(session, e.c.severity, _IS_OPEN),
        open_by_type=await _counts(session, e.c.event_type, _IS_OPEN),
        raised_by_type=await _counts(session, e.c.event_type, recent),
        raised_by_hour=[(row[0], row[1]) for row in by_hour],
        top_addresses=await _top(session, e.c.ip_address, recent),
        top_users=await _top(session, e.c.user_id, recent),
        untold=untold or 0,
    )


async def prune(session: Session, *, most: int = MOST_KEPT) -> int:
    """Forget resolved events past their time, and the oldest of all past `most`; returns how many."""
    old = "created_at < now() - make_interval(days => :days) AND resolved"
    beyond = "id < (SELECT id FROM security_events ORDER BY id DESC OFFSET :most LIMIT 1)"
    gone = await session.execute(
        text(f"DELETE FROM security_events WHERE ({old}) OR {beyond} RETURNING id"),
        {"days": KEPT_DAYS, "most": most - 1},
    )
    return len(gone.all())


async def _counts(session: Session, column: ColumnElement[str], condition: ColumnElement[bool]) -> dict[str, int]:
    found = await session.execute(select(column, func.count()).where(condition).group_by(column))
    return {row[0]: row[1] for row in found}


async def _top(session: Session, column: ColumnElement[str], condition: ColumnElement[bool]) -> list[tuple[str, int]]:
    found = select(column, func.count()).where(condition, column.is_not(None)).group_by(column)
    rows = await session.execute(found.order_by(func.count().desc(), column).limit(MOST_TOP))
    return [(row[0], row[1]) for row in rows]


async def end_of_numbers(connection: Connection) -> int:
    """The number behind the newest event."""
    return await end_of(connection, "security_events")


async def numbered(
    connection: Connection, sought: Search, *, start: int, stop: int
) -> AsyncIterator[Sequence[Mapping[str, Any]]]:
    """What is sought among the numbers from `start` to before `stop`, in their order, a few at a time; as in `_SHOWN`."""
    within = (e.c.number >= start, e.c.number < stop)
    async for rows in rows_of(connection, select(*_SHOWN).where(*within, *_conditions(sought)).order_by(e.c.number)):
        yield rows


def _conditions(sought: Search) -> list[ColumnElement[bool]]:
    wanted: list[ColumnElement[bool]] = []
    if sought.event_types:
        wanted.append(e.c.event_type.in_(sought.event_types))
    if sought.severities:
        wanted.append(e.c.severity.in_(sought.severities))
    if sought.resolved is not None:
        wanted.append(e.c.resolved if sought.resolved else _IS_OPEN)
    given = ((e.c.user_id, sought.user_id), (e.c.ip_address, sought.ip_address), (e.c.rule, sought.rule))
    wanted += [column == value for column, value in given if value is not None]
    if sought.date_from is not None:
        wanted.append(e.c.created_at >= sought.date_from)
    if sought.date_to is not None:
        wanted.append(e.c.created_at <= sought.date_to)
    return wanted
