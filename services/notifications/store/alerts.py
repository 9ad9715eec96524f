"""Alerts: at most one unresolved per fingerprint, by a partial unique index; occurrences add up in one statement."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import ColumnElement, func, select, text

from libs.common.database.engine import Session, driver
from libs.common.events.notification_fields import AlertSeverity
from libs.common.ids import new_id
from services.notifications.models import Alert, AlertDraft, alert_not_found, alert_resolved
from services.notifications.tables import alerts as a

MOST_COUNTED = 10_001

_JSON = ("affected_stores", "affected_systems", "labels")
_COLUMNS = ", ".join(f"{c.name}::text" if c.name in _JSON else c.name for c in a.c)
_RANKS = "ARRAY['info', 'warning', 'error', 'critical']"
_RAISE = f"""
    INSERT INTO alerts AS known
        (id, alert_type, severity, title, description, affected_stores, affected_systems, occurrence_count,
         first_occurred_at, last_occurred_at, fingerprint, labels, previous_alert_id)
    SELECT row.*, (SELECT previous.id FROM alerts previous WHERE previous.fingerprint = row.fingerprint
                   AND previous.is_resolved ORDER BY previous.id DESC LIMIT 1)
    FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::jsonb[], $7::jsonb[], $8::bigint[],
                $9::timestamptz[], $10::timestamptz[], $11::text[], $12::jsonb[])
         AS row (id, alert_type, severity, title, description, affected_stores, affected_systems, occurrence_count,
                 first_occurred_at, last_occurred_at, fingerprint, labels)
    ORDER BY row.fingerprint
    ON CONFLICT (fingerprint) WHERE NOT is_resolved DO UPDATE SET
        occurrence_count = known.occurrence_count + EXCLUDED.occurrence_count,
        first_occurred_at = least(known.first_occurred_at, EXCLUDED.first_occurred_at),
        last_occurred_at = greatest(known.last_occurred_at, EXCLUDED.last_occurred_at),
        severity = ({_RANKS})[greatest(array_position({_RANKS}, known.severity),
                                       array_position({_RANKS}, EXCLUDED.severity))]
    RETURNING {_COLUMNS}, xmax = 0 AS is_new
"""


@dataclass(frozen=True, slots=True)
class Occurrence:
    """Something that happened, once or several times: `count` of them between `first_at` and `last_at`."""

    draft: AlertDraft
    first_at: datetime
    last_at: datetime
    count: int = 1


@dataclass(frozen=True, slots=True)
class Raised:
    """What an occurrence came to: a new alert, or one more for the unresolved one."""

    alert: Alert
    is_new: bool
    occurrence: Occurrence


@dataclass(frozen=True, slots=True)
class Filters:
    """Which alerts; None stands for all."""

    alert_type: str | None = None
    severity: AlertSeverity | None = None
    is_resolved: bool | None = None
    fingerprint: str | None = None


@dataclass(frozen=True, slots=True)
class Stats:
    """Counts of alerts; `total` and `resolved_today` up to 10,001, the others of those that are active."""

    total: int
    resolved_today: int
    active: dict[tuple[str, AlertSeverity], int]


async def take_turn(session: Session) -> None:
    """Wait until nobody else changes alerts or adds notifications; they wait until this transaction ends.

    All writers take this one lock first, so none of them ever waits for another in a circle.
    """
    await session.execute(text("SELECT FROM turn FOR UPDATE"))


async def raise_all(session: Session, occurrences: Sequence[Occurrence]) -> list[Raised]:
    """Raise or increment, one statement for all. Their fingerprints must differ; it must be this writer's turn."""
    by_fingerprint = {one.draft.identity: one for one in occurrences}
    assert len(by_fingerprint) == len(occurrences)
    drafts = [one.draft for one in occurrences]
    records = await driver(session).fetch(
        _RAISE,
        [new_id() for _ in occurrences],
        [str(one.alert_type) for one in drafts],
        [one.severity for one in drafts],
        [one.title for one in drafts],
        [one.description for one in drafts],
        [orjson.dumps(list(one.affected_stores)).decode() for one in drafts],
        [orjson.dumps(list(one.affected_systems)).decode() for one in drafts],
        [one.count for one in occurrences],
        [one.first_at for one in occurrences],
        [one.last_at for one in occurrences],
        list(by_fingerprint),
        [orjson.dumps(dict(one.labels)).decode() for one in drafts],
    )
    return [_raised(dict(record), by_fingerprint) for record in records]


async def get(session: Session, alert_id: str) -> Alert:
    """One alert. Raises `NotFound`."""
    row = (await session.execute(select(a).where(a.c.id == alert_id))).first()
    if row is None:
        raise alert_not_found(alert_id)
    return Alert(**row._mapping)


async def resolve(session: Session, alert_id: str, *, admin_id: str, notes: str | None, now: datetime) -> Alert:
    """Resolve an alert. Raises `NotFound`, and `Conflict` when it is resolved already."""
    statement = (
        a.update()
        .where(a.c.id == alert_id, ~a.c.is_resolved)
        .values(is_resolved=True, resolved_at=now, resolved_by_user_id=admin_id, resolution_notes=notes)
        .returning(*a.c)
    )
    row = (await session.execute(statement)).first()
    if row is None:
        await get(session, alert_id)
        raise alert_resolved(alert_id)
    return Alert(**row._mapping)


async def search(
    session: Session, *, filters: Filters, limit: int, skip: int = 0, before: str | None = None
) -> list[Alert]:
    """Those raised last first, `limit` of them after `skip`, or those whose id is below `before`."""
    statement = select(a).where(*_wanted(filters)).order_by(a.c.id.desc()).limit(limit).offset(skip)
    if before is not None:
        statement = statement.where(a.c.id < before)
    return [Alert(**row._mapping) for row in await session.execute(statement)]


async def count(session: Session, *, filters: Filters) -> int:
    """How many there are, counted up to 10,001."""
    some = select(a.c.id).where(*_wanted(filters)).limit(MOST_COUNTED).subquery()
    return await session.scalar(select(func.count()).select_from(some)) or 0


async def stats(session: Session, *, today: datetime) -> Stats:
    """All counts of the statistics; `today` is when the day began."""
    resolved = select(a.c.id).where(a.c.is_resolved, a.c.resolved_at >= today).limit(MOST_COUNTED).subquery()
    return Stats(
        total=await count(session, filters=Filters()),
        resolved_today=await session.scalar(select(func.count()).select_from(resolved)) or 0,
        active=await active(session),
    )


async def active(session: Session) -> dict[tuple[str, AlertSeverity], int]:
    """How many unresolved alerts there are of each type and severity, by an index that holds just these."""
    found = await session.execute(
        select(a.c.alert_type, a.c.severity, func.count())
        .where(~a.c.is_resolved)
        .group_by(a.c.alert_type, a.c.severity)
    )
    return {(row[0], row[1]): row[2] for row in found}


def _wanted(filters: Filters) -> list[ColumnElement[bool]]:
    given = (
        (a.c.alert_type, filters.alert_type), (a.c.severity, filters.severity), (a.c.fingerprint, filters.fingerprint),
    )  # fmt: skip
    wanted: list[ColumnElement[bool]] = [column == value for column, value in given if value is not None]
    if filters.is_resolved is not None:
        wanted.append(a.c.is_resolved if filters.is_resolved else ~a.c.is_resolved)
    return wanted


def _raised(record: dict[str, Any], occurrences: Mapping[str, Occurrence]) -> Raised:
    is_new = record.pop("is_new")
    found = {name: orjson.loads(value) if name in _JSON else value for name, value in record.items()}
    ids = {name: str(found[name]) for name in ("id", "previous_alert_id") if found[name] is not None}
    return Raised(Alert(**{**found, **ids}), is_new, occurrences[record["fingerprint"]])
