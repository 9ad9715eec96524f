"""Every SQL statement that erases what is kept of a person."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, select, update
from sqlalchemy.dialects.postgresql import insert

from libs.common.database.engine import Session, driver
from services.notifications.store.deliveries import DELIVERY, Delivery
from services.notifications.tables import deliveries as d
from services.notifications.tables import erased_users as e
from services.notifications.tables import read_marks as m
from services.notifications.tables import reads as r

# The second as the partial index has it, in literals: a parameter in its place would hide it from the planner.
_FORGET = """
    DELETE FROM notifications
    WHERE recipient_id = $1 OR (metadata ? 'user_id' AND metadata->>'user_id' = $1) RETURNING position
"""


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
    return len(await driver(session).fetch(_FORGET, user_id))


async def forget_reads(session: Session, user_id: str) -> int:
    """Nothing is known of what a person has read; returns how many notes of it there were."""
    gone = 0
    for statement in (
        delete(r).where(r.c.admin_id == user_id).returning(r.c.position),
        delete(m).where(m.c.admin_id == user_id).returning(m.c.read_up_to),
    ):
        gone += len((await session.execute(statement)).all())
    return gone
