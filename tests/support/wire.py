"""A hand on the wire: records every message that the services publish, and publishes it again at will."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage

from libs.common.broker.declare import Names
from libs.common.broker.topology import COMMANDS, EVENTS, NOTIFICATIONS_COMMANDS, SETTINGS_COMMANDS, Queue
from tests.support.processes import Platform


@dataclass(frozen=True, slots=True)
class Recorded:
    """A message as it was published, with where it was published to."""

    exchange: str
    routing_key: str
    message: aio_pika.Message


@dataclass(slots=True)
class Wire:
    """One channel of another program."""

    channel: AbstractChannel
    names: Names
    recorded: dict[tuple[str, str], Recorded] = field(default_factory=dict)
    """By exchange and message id, each message once, in the order in which they came."""

    async def publish(self, messages: Iterable[Recorded]) -> None:
        """Publish messages again, where they were published."""
        for one in messages:
            exchange = await self.channel.get_exchange(self.names.on_broker(one.exchange), ensure=False)
            await exchange.publish(one.message, routing_key=one.routing_key)

    async def send(self, body: bytes, *, routing_key: str, content_type: str, app_id: str | None = None) -> None:
        """Publish something of our own to the events exchange."""
        message = aio_pika.Message(body, content_type=content_type, app_id=app_id, user_id="guest")
        await self.publish([Recorded(EVENTS, routing_key, message)])

    async def put(self, queue: Queue, messages: Iterable[Recorded]) -> None:
        """Put messages into one queue."""
        for one in messages:
            await self.channel.default_exchange.publish(one.message, routing_key=self.names.on_broker(queue.name))

    async def purge(self, queue: Queue) -> None:
        """Empty a queue."""
        await (await self._queue(queue)).purge()

    async def depth(self, queue: Queue) -> int:
        """How many messages wait in a queue; those with its consumer, not acknowledged, are not counted."""
        found = (await self._queue(queue)).declaration_result
        return found.message_count or 0

    async def _queue(self, queue: Queue) -> aio_pika.abc.AbstractQueue:
        return await self.channel.declare_queue(self.names.on_broker(queue.name), passive=True)

    async def _record(self, incoming: AbstractIncomingMessage) -> None:
        exchange = self.names.in_topology(incoming.exchange or "")
        key = (exchange, incoming.message_id or "")
        if key not in self.recorded:
            self.recorded[key] = Recorded(exchange, incoming.routing_key or "", _again(incoming))


@asynccontextmanager
async def wire_of(platform: Platform) -> AsyncIterator[Wire]:
    """A wire into the platform's namespace, recording its events and its commands."""
    connection = await aio_pika.connect(platform.amqp_url, timeout=5)
    try:
        channel = await connection.channel()
        wire = Wire(channel, Names(platform.namespace))
        queue = await channel.declare_queue(exclusive=True)
        await queue.bind(wire.names.on_broker(EVENTS), "#")
        for commands in (SETTINGS_COMMANDS, NOTIFICATIONS_COMMANDS):
            await queue.bind(wire.names.on_broker(COMMANDS), commands.name)
        await queue.consume(wire._record, no_ack=True)
        yield wire
    finally:
        await connection.close()


def _again(incoming: AbstractIncomingMessage) -> aio_pika.Message:
    return aio_pika.Message(
        incoming.body, content_type=incoming.content_type, headers=incoming.headers, message_id=incoming.message_id,
        correlation_id=incoming.correlation_id, reply_to=incoming.reply_to, type=incoming.type, app_id=incoming.app_id,
        user_id=incoming.user_id, timestamp=incoming.timestamp, delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
    )  # fmt: skip
