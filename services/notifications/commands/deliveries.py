"""Links that are to be sent: accepted once, however often the command comes."""

from datetime import datetime

from libs.common.database.engine import Session
from libs.common.delivery.asked import outcome_of, read_command
from libs.common.delivery.commands import CommandHandler, one_by_one
from libs.common.errors import Conflict
from libs.common.events.deliveries import Channel, Deed, DeliveryAccepted, DeliveryFailed, DeliverySent, SendLink
from libs.common.events.envelope import Event
from services.notifications.commands.cause import Cause
from services.notifications.store import deliveries, people
from services.notifications.store.deliveries import Delivery


def send_link(channel: Channel) -> CommandHandler:
    """The handler of `SendLink`, for links that go out by `channel`. The command's id is the delivery's."""

    async def accept(session: Session, command: Event) -> Event:
        asked = read_command(SendLink, command, doing="send links", below=())
        if await people.is_erased(session, asked.user_id):
            raise recipient_erased(asked.user_id)
        await deliveries.append(
            session,
            command.id,
            channel=channel,
            kind=asked.kind,
            user_id=asked.user_id,
            sealed=asked.sealed,
            expires_at=asked.expires_at,
            correlation_id=command.correlationid,
        )
        accepted = DeliveryAccepted(
            status=202,
            delivery_id=command.id,
            channel=channel,
            kind=asked.kind,
            user_id=asked.user_id,
            expires_at=asked.expires_at,
            origin=asked.origin,
        )
        return outcome_of(command, accepted, subject=f"user/{asked.user_id}")

    return one_by_one(accept)


async def note_sent(session: Session, delivery: Delivery, *, now: datetime) -> Event | None:
    """It was sent; None when another attempt said what became of it."""
    if not await deliveries.end(session, delivery, state="sent", reason=None, now=now):
        return None
    data = DeliverySent(
        delivery_id=delivery.id, channel=delivery.channel, kind=delivery.kind, user_id=delivery.user_id,
        attempts=delivery.attempts, action=_deed(delivery),
    )  # fmt: skip
    return _cause(delivery).event(data, subject=f"user/{delivery.user_id}")


async def note_failed(session: Session, delivery: Delivery, *, reason: str, now: datetime) -> Event | None:
    """It was given up; None when another attempt said what became of it."""
    if not await deliveries.end(session, delivery, state="failed", reason=reason, now=now):
        return None
    return failed_event(delivery, reason)


def failed_event(delivery: Delivery, reason: str) -> Event:
    """The event of something that was given up."""
    data = DeliveryFailed(
        delivery_id=delivery.id, channel=delivery.channel, kind=delivery.kind, user_id=delivery.user_id,
        attempts=delivery.attempts, reason=reason, action=_deed(delivery),
    )  # fmt: skip
    return _cause(delivery).event(data, subject=f"user/{delivery.user_id}", severity="warning")


def recipient_erased(user_id: str) -> Conflict:
    """The refusal of something to be sent to whoever was erased."""
    return Conflict(f"the data of user {user_id} was erased; nothing is sent to them", code="recipient_erased")


def _deed(delivery: Delivery) -> Deed:
    return "send_notice" if delivery.kind == "notice" else "send_link"


def _cause(delivery: Delivery) -> Cause:
    return Cause(
        causation_id=delivery.id,
        correlation_id=delivery.correlation_id,
        actor_id=None,
        actor_type="system",
        traceparent=None,
    )
