"""Makers of messages and small topologies for tests of the broker."""

from collections.abc import Mapping, Sequence
from typing import Any

from libs.common.broker.topology import COMMANDS, EVENTS, Queue
from libs.common.broker.transport import Delivery, Message, Subscription
from libs.common.ids import new_id

STRUCTURED = "application/cloudevents+json"


def event_message(
    type: str = "reeve.setting.changed.v1",  # noqa: A002 - the wire's own word
    *,
    body: bytes = b"{}",
    headers: Mapping[str, Any] | None = None,
) -> Message:
    """An event of the gateway's, with its type as the routing key."""
    return Message(
        body=body,
        content_type=STRUCTURED,
        exchange=EVENTS,
        routing_key=type,
        message_id=new_id(),
        type=type,
        app_id="gateway",
        headers=headers or {},
    )


def command_message(queue: Queue, *, body: bytes = b"{}") -> Message:
    """A command for the queue's service."""
    return event_message("reeve.command.setting.change.v1", body=body)._replace(
        exchange=COMMANDS, routing_key=queue.name
    )


def reply_message(queue_name: str, *, body: bytes = b"{}") -> Message:
    """A reply to a reply queue."""
    return event_message("reeve.replies.v1", body=body)._replace(exchange="", routing_key=queue_name)


async def receive_count(subscription: Subscription, count: int) -> list[Delivery]:
    """Receive until there are `count`, leaving them unsettled."""
    received: list[Delivery] = []
    while len(received) < count:
        received += await subscription.receive(count - len(received))
    return received


async def settle_count(subscription: Subscription, count: int) -> list[Message]:
    """Receive `count` messages, settling each batch as it comes."""
    messages: list[Message] = []
    while len(messages) < count:
        batch = await subscription.receive(count - len(messages))
        await subscription.settle(batch)
        messages += [delivery.message for delivery in batch]
    return messages


def bodies(messages: Sequence[Message | Delivery]) -> list[bytes]:
    """What they carry, in order."""
    return [message.message.body if isinstance(message, Delivery) else message.body for message in messages]
