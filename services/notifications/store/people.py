"""Every SQL statement that erases what is kept of a person."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import and_, delete, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from libs.common.database.engine import Session
from services.notifications.store.deliveries import DELIVERY, Delivery
from services.notifications.tables import deliveries as d
from services.notifications.tables import erased_users as e
from services.notifications.tables import notifications as n
from services.notifications.tables import read_marks as m
from services.notifications.tables import reads as r


async def is_erased(session: Session, user_id: str) -> bool:
    """Whether the gateway said that it erased this account."""
    return (await session.execute(select(e.c.user_id).where(e.c.user_id == user_id))).one_or_none() is not None


async def note_erased(session: Session, user_id: str) -> None:
    """Nothing is sent to this account any more. Noting it again changes nothing."""
    await session.execute(insert(e).values(user_id=user_id).on_conflict_do_nothing(index_elements=[e.c.user_id]))


async def give_up_waiting(
    session: Session, user_id: str, *, kinds: Sequence[str], reason: str, now: datetime
) -> list[Delivery]:
    """End what waits to be sent to a person; what was sealed is gone."""
    ended = (
        update(d)
        .where(d.c.user_id == user_id, d.c.state == "waiting", d.c.kind.in_(kinds))
        .values(state="failed", ended_at=now, last_error=reason, sealed="")
        .returning(*DELIVERY)
    )
    return [Delivery(**row._mapping) for row in await session.execute(ended)]


async def forget_notifications(session: Session, user_id: str) -> int:
    """Remove what is for this person alone or tells of them, and who has read it; returns how many."""
    # As the index has it.
    names = and_(n.c.metadata.has_key("user_id"), n.c.metadata["user_id"].astext == user_id)
    gone = delete(n).where(or_(n.c.recipient_id == user_id, names)).returning(n.c.position)
    return len((await session.execute(gone)).all())


async def forget_reads(session: Session, user_id: str) -> int:
    """Nothing is known of what a person has read; returns how many notes of it there were."""
    gone = 0
    for statement in (
        delete(r).where(r.c.admin_id == user_id).returning(r.c.position),
        delete(m).where(m.c.admin_id == user_id).returning(m.c.read_up_to),
    ):
        gone += len((await session.execute(statement)).all())
    return gone
