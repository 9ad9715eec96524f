"""Every event of the platform passes here; the few that a rule knows make notifications and alerts."""

from collections.abc import Sequence
from datetime import UTC, datetime

from prometheus_client import Counter

from libs.common.database import inbox
from libs.common.database.engine import Session
from libs.common.database.inbox import Arrival
from libs.common.delivery.arrivals import Arrived
from libs.common.errors import Invalid
from libs.common.events.envelope import Event
from libs.common.events.notifications import NotificationCreated
from libs.common.events.security import SecurityEventRaised
from libs.common.identity import ActorType
from services.notifications import rules
from services.notifications.commands.cause import Cause
from services.notifications.commands.made import Made, apply_made
from services.notifications.models import PRIORITIES, AlertDraft, NotificationDraft

DIRECT_TYPES = frozenset({SecurityEventRaised.TYPE})
"""What may come by the bus and, where that takes too long, from the gateway itself."""
DIRECT = "notifications.direct"
"""The name under which the inbox remembers them."""
NOTIFICATIONS_CREATED = Counter("reeve_notifications_created_total", "Notifications made.", ("priority",))
for _priority in PRIORITIES:
    # A counter that is there from the start shows its first increase as one.
    NOTIFICATIONS_CREATED.labels(_priority)


async def apply_rules(session: Session, arrived: Sequence[Arrived]) -> None:
    """Make what the rules say. A batch that matches nothing does not touch the database."""
    await _apply(session, [one.event for one in arrived])


async def take_direct(session: Session, event: Event) -> None:
    """Make what the rules say of an event that the gateway brings itself; when the bus brings it, nothing more is made.

    Raises `Invalid` for an event of a type that comes by the bus alone.
    """
    if event.type not in DIRECT_TYPES:
        raise Invalid("events of this type come by the bus", code="invalid_event")
    await _apply(session, [event])


async def count_created(arrived: Sequence[Arrived]) -> None:
    """Count new notifications by their own events, which only a commit lets out."""
    for one in arrived:
        if one.event.type == NotificationCreated.TYPE:
            NOTIFICATIONS_CREATED.labels(one.event.data["priority"]).inc()


async def _apply(session: Session, events: Sequence[Event]) -> None:
    made = [(event, found) for event in events if (found := _made(event)) is not None]
    twice = [event for event, _ in made if event.type in DIRECT_TYPES]
    if twice:
        # Numbers belong to the bus; by source and id such an event is known whichever way it came first.
        arrivals = [Arrival("", None, event.source, event.id) for event in twice]
        first = iter(await inbox.admit(session, consumer=DIRECT, arrivals=arrivals))
        made = [(event, found) for event, found in made if event.type not in DIRECT_TYPES or next(first)]
    if made:
        await apply_made(session, [found for _, found in made], now=datetime.now(UTC))


def _made(event: Event) -> Made | None:
    drafts = rules.match(event)
    if not drafts:
        return None
    cause = Cause(
        causation_id=event.id,
        correlation_id=event.correlationid or event.id,
        actor_id=None,
        actor_type=ActorType.SYSTEM.value,
        traceparent=event.traceparent,
    )
    notification = next((one for one in drafts if isinstance(one, NotificationDraft)), None)
    alert = next((one for one in drafts if isinstance(one, AlertDraft)), None)
    return Made(cause, event.time, notification, alert)
