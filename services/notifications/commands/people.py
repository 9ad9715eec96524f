"""People whose accounts end: what waits for them is not sent, and of whoever is erased nothing is kept."""

from collections.abc import Sequence
from datetime import datetime

from libs.common import logs
from libs.common.database import dead_letters
from libs.common.database.engine import Session
from libs.common.events.deliveries import Kind
from libs.common.events.envelope import Event
from libs.common.events.erasures import NotificationsUserErased
from services.notifications.commands.cause import Cause
from services.notifications.commands.deliveries import failed_event
from services.notifications.store import people

EVERYTHING: Sequence[Kind] = ("activation", "password_reset", "notice")
NOTICES: Sequence[Kind] = ("notice",)
ERASED = "the account was erased"
SWITCHED_OFF = "the account was switched off"

log = logs.get("people")


async def erase_user(session: Session, cause: Cause, user_id: str, *, now: datetime) -> list[Event]:
    """Erase what is kept of a person, and remember that nothing is to be sent to them. Again it finds nothing more."""
    await people.note_erased(session, user_id)
    unsent = await people.give_up_waiting(session, user_id, kinds=EVERYTHING, reason=ERASED, now=now)
    data = NotificationsUserErased(
        user_id=user_id,
        deliveries=len(unsent),
        notifications=await people.forget_notifications(session, user_id),
        reads=await people.forget_reads(session, user_id),
        dead_letters=await dead_letters.forget_about(session, user_id),
    )
    log.info("user erased", user_id=user_id, notifications=data.notifications, deliveries=data.deliveries)
    return [*(failed_event(one, ERASED) for one in unsent), cause.event(data, subject=f"user/{user_id}")]


async def give_up_notices(session: Session, user_id: str, *, now: datetime) -> list[Event]:
    """Whoever is switched off is not told any more what happened to their account."""
    unsent = await people.give_up_waiting(session, user_id, kinds=NOTICES, reason=SWITCHED_OFF, now=now)
    return [failed_event(one, SWITCHED_OFF) for one in unsent]
