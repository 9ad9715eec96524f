"""Every event of the platform passes here; the few that a rule knows make notifications and alerts."""

from collections.abc import Sequence
from datetime import UTC, datetime

from prometheus_client import Counter

from libs.common.database.engine import Session
from libs.common.delivery.arrivals import Arrived
from libs.common.events.envelope import Event
from libs.common.events.notifications import NotificationCreated
from libs.common.identity import ActorType
from services.notifications import rules
from services.notifications.commands.cause import Cause
from services.notifications.commands.made import Made, apply_made
from services.notifications.models import PRIORITIES, AlertDraft, NotificationDraft

NOTIFICATIONS_CREATED = Counter("reeve_notifications_created_total", "Notifications made.", ("priority",))
for _priority in PRIORITIES:
    # A counter that is there from the start shows its first increase as one.
    NOTIFICATIONS_CREATED.labels(_priority)


async def apply_rules(session: Session, arrived: Sequence[Arrived]) -> None:
    """Make what the rules say. A batch that matches nothing does not touch the database."""
    made = [found for one in arrived if (found := _made(one.event)) is not None]
    if made:
        await apply_made(session, made, now=datetime.now(UTC))


async def count_created(arrived: Sequence[Arrived]) -> None:
    """Count new notifications by their own events, which only a commit lets out."""
    for one in arrived:
        if one.event.type == NotificationCreated.TYPE:
            NOTIFICATIONS_CREATED.labels(one.event.data["priority"]).inc()


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
