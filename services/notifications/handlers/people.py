"""Events about accounts that end, believed to the gateway alone."""

from collections.abc import Sequence
from datetime import UTC, datetime

from libs.common.database import outbox
from libs.common.database.engine import Session
from libs.common.delivery.arrivals import Arrived
from libs.common.events.envelope import Event
from libs.common.events.users import UserDeleted, UserErased, UserStatusChanged
from libs.common.identity import ActorType
from services.notifications.commands.cause import Cause
from services.notifications.commands.people import erase_user, give_up_notices


async def follow_accounts(session: Session, arrived: Sequence[Arrived]) -> None:
    """Erase what is kept of whoever was erased, and send nothing more to whoever was switched off."""
    now = datetime.now(UTC)
    events: list[Event] = []
    for event in (one.event for one in arrived if one.event.source == UserErased.SOURCE):
        match event.type:
            case UserErased.TYPE:
                events += await erase_user(session, _cause(event), str(event.data["user_id"]), now=now)
            case UserDeleted.TYPE:
                events += await give_up_notices(session, str(event.data["user_id"]), now=now)
            case UserStatusChanged.TYPE if not event.data["is_active"]:
                events += await give_up_notices(session, str(event.data["user_id"]), now=now)
            case _:
                pass
    await outbox.emit(session, *events)


def _cause(event: Event) -> Cause:
    return Cause(
        causation_id=event.id,
        correlation_id=event.correlationid,
        actor_id=None,
        actor_type=ActorType.SYSTEM.value,
        traceparent=event.traceparent,
    )
