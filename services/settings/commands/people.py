"""People whose data is erased: what they did stays under their id, what they said about it goes."""

from libs.common import logs
from libs.common.database import dead_letters, outbox
from libs.common.database.engine import Session
from libs.common.events.catalog import new_event
from libs.common.events.envelope import Event
from libs.common.events.erasures import SettingsUserErased
from libs.common.identity import ActorType
from services.settings.store import history

log = logs.get("people")


async def erase_user(session: Session, user_id: str, *, cause: Event) -> SettingsUserErased:
    """Erase what is kept of a person, and say so. Again it finds nothing more."""
    data = SettingsUserErased(
        user_id=user_id,
        reasons=await history.erase_reasons(session, user_id),
        dead_letters=await dead_letters.forget_about(session, user_id),
    )
    told = new_event(
        data,
        subject=f"user/{user_id}",
        actor_type=ActorType.SYSTEM.value,
        correlation_id=cause.correlationid,
        causation_id=cause.id,
        traceparent=cause.traceparent,
    )
    await outbox.emit(session, told)
    log.info("user erased", user_id=user_id, reasons=data.reasons)
    return data
