"""What arrived, as a subscriber handles it: events with what is known of their way, and what had to be parked."""

from dataclasses import dataclass
from typing import NamedTuple

from libs.common import logs
from libs.common.broker.topology import Queue
from libs.common.broker.transport import Message
from libs.common.database.dead_letters import DeadLetter
from libs.common.database.inbox import Arrival
from libs.common.delivery.senders import producer_of
from libs.common.events.envelope import STRUCTURED, Event, encode
from libs.common.ids import new_id

PRODUCER_HEADER = "x-reeve-producer"
"""In a letter's headers: the service whose outbox it came from. Believed as far as its sender is (`producer_of`)."""

log = logs.get("subscriber")


class Again(Exception):
    """Roll this batch back and hand it over once more, at once: the handler knows what it will do otherwise."""


class Refused(Exception):
    """This event can never be applied; the message is the reason its dead letter bears."""


class Arrived(NamedTuple):
    """An event in the hands of a handler, with what the transport knows of its way."""

    event: Event
    producer: str
    """The service whose outbox it comes from, or the broker user that sent it."""
    sender: str | None
    reply_to: str | None
    message: Message


@dataclass(frozen=True, slots=True)
class Parked:
    """What cannot be applied: its message alone, why, and its place in the producer's numbering."""

    message: Message
    reason: str
    arrival: Arrival | None
    culprit: Arrived | None = None


def arrival_of(one: Arrived) -> Arrival:
    ours = producer_of(one.message)
    return Arrival(
        producer=ours,
        producerseq=one.event.producerseq if ours else None,
        source=one.event.source,
        event_id=one.event.id,
    )


def culprit(one: Arrived, error: Exception, attempts: int) -> Parked:
    reason = str(error) if isinstance(error, Refused) else f"failed {attempts} times: {type(error).__name__}"
    log.error("event cannot be applied", type=one.event.type, event_id=one.event.id, exc_info=error)
    return Parked(alone(one.message, one.event), reason, arrival_of(one), one)


def alone(message: Message, event: Event) -> Message:
    """One event of a packed message as a message of its own."""
    return message._replace(
        body=encode(event), content_type=STRUCTURED, message_id=event.id, type=event.type, headers={},
        correlation_id=event.correlationid,
    )  # fmt: skip


def letter_of(queue: Queue, parked: Parked) -> DeadLetter:
    message, producer = parked.message, producer_of(parked.message)
    return DeadLetter(
        id=new_id(),
        queue=queue.name,
        message_id=message.message_id,
        type=message.type,
        sender=message.sender,
        reason=parked.reason[:500],
        body=message.body,
        headers={**message.headers, PRODUCER_HEADER: producer} if producer else dict(message.headers),
        content_type=message.content_type,
        producer=producer,
    )
