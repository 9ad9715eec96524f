"""Deliveries: what waits to be sent, claimed for a while by one worker, and what became of it.

What is sealed stays sealed here, and goes when the delivery has ended.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy import ColumnElement, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert

from libs.common.database.engine import Session
from libs.common.events.deliveries import Channel, Kind
from services.notifications.tables import deliveries as d

KEPT_DAYS = 90
MOST_PURGED = 100


@dataclass(frozen=True, slots=True)
class Delivery:
    """One that is claimed. `attempts` counts this claim, and is what the claim is known by."""

    id: str
    channel: Channel
    kind: Kind
    user_id: str
    sealed: str
    attempts: int
    created_at: datetime
    expires_at: datetime
    correlation_id: str | None


DELIVERY = (
    d.c.id, d.c.channel, d.c.kind, d.c.user_id, d.c.sealed, d.c.attempts, d.c.created_at, d.c.expires_at,
    d.c.correlation_id,
)  # fmt: skip


async def append(
    session: Session,
    delivery_id: str,
    *,
    channel: Channel,
    kind: Kind,
    user_id: str,
    sealed: str,
    expires_at: datetime,
    correlation_id: str | None,
) -> None:
    """Something to be sent as soon as may be. The same id again changes nothing."""
    added = insert(d).values(
        id=delivery_id, channel=channel, kind=kind, user_id=user_id, sealed=sealed, expires_at=expires_at,
        correlation_id=correlation_id,
    )  # fmt: skip
    await session.execute(added.on_conflict_do_nothing(index_elements=[d.c.id]))


async def claim(session: Session, *, lease_seconds: float) -> Delivery | None:
    """The one that is due longest, for `lease_seconds`; then it is due again, unless it ended or was put off."""
    due = (
        select(d.c.id)
        .where(d.c.state == "waiting", d.c.next_at <= func.now())
        .order_by(d.c.next_at)
        .limit(1)
        .with_for_update(skip_locked=True)
        .scalar_subquery()
    )
    claimed = (
        update(d)
        .where(d.c.id == due)
        .values(attempts=d.c.attempts + 1, next_at=func.now() + timedelta(seconds=lease_seconds))
        .returning(*DELIVERY)
    )
    row = (await session.execute(claimed)).one_or_none()
    return Delivery(**row._mapping) if row is not None else None


async def put_off(session: Session, delivery: Delivery, *, seconds: float, reason: str) -> bool:
    """Try it again in a while; False when the claim holds no longer."""
    put = update(d).where(*_held(delivery)).values(next_at=func.now() + timedelta(seconds=seconds), last_error=reason)
    return (await session.execute(put.returning(d.c.id))).one_or_none() is not None


async def end(
    session: Session, delivery: Delivery, *, state: Literal["sent", "failed"], reason: str | None, now: datetime
) -> bool:
    """It ended so; False when the claim holds no longer. What was sealed is gone."""
    ended = (
        update(d)
        .where(*_held(delivery))
        .values(state=state, ended_at=now, last_error=reason, sealed="")
        .returning(d.c.id)
    )
    is_ended = (await session.execute(ended)).one_or_none() is not None
    old = select(d.c.id).where(d.c.ended_at < now - timedelta(days=KEPT_DAYS)).limit(MOST_PURGED)
    await session.execute(delete(d).where(d.c.id.in_(old)))
    return is_ended


def _held(delivery: Delivery) -> tuple[ColumnElement[bool], ...]:
    return (d.c.id == delivery.id, d.c.state == "waiting", d.c.attempts == delivery.attempts)
