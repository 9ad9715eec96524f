"""RabbitMQ behind the transport: confirmed publishing, and consumers that survive the broker's restarts."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from aiormq.channel import Channel
from aiormq.exceptions import DeliveryError
from yarl import URL

from libs.common import logs
from libs.common.broker import declare as topology_on_broker
from libs.common.broker.declare import EXCHANGES, Arguments, Names
from libs.common.broker.link import BROKER_ERRORS, CLOSE_SECONDS, CONNECT_SECONDS, Link, close_channel
from libs.common.broker.rabbitmq_consume import QueueName, RabbitSubscription
from libs.common.broker.rabbitmq_message import DEATHS, PERSISTENT, TRANSIENT, properties_of
from libs.common.broker.topology import DEAD, EVENTS, MOST_LISTENED, MOST_REPLIES, QUEUES, Queue
from libs.common.broker.transport import Message, Unconfirmed, Unroutable
from libs.common.ids import new_id

CONFIRM_SECONDS = 10.0
MOST_IN_FLIGHT = 4096
"""Publishes of one process that wait for their confirm at once; further ones wait their turn."""
REASON_HEADER = "x-reeve-reason"
SENDER_HEADER = "x-reeve-sender"

log = logs.get("broker")


class RabbitTransport:
    """Two connections: a memory alarm blocks the publishing one, and consuming goes on."""

    kind = "rabbitmq"

    def __init__(self, url: str, *, names: Names, application: str, confirm_seconds: float = CONFIRM_SECONDS) -> None:
        self._names = names
        self._application = application
        self._login = URL(url).user or "guest"
        self._confirm_seconds = confirm_seconds
        self._publishing = Link(url, name=f"{application} publishing")
        self._consuming = Link(url, name=f"{application} consuming")
        self._channels: dict[bool, Channel] = {}
        self._opening = asyncio.Lock()
        self._room = asyncio.Semaphore(MOST_IN_FLIGHT)
        self._in_flight = 0
        self._landed = asyncio.Event()
        self._landed.set()
        self._subscriptions: set[RabbitSubscription] = set()
        self._is_closed = False

    async def open(self, *, declare: bool, queues: Sequence[Queue]) -> None:
        """Connect twice and declare the topology, or check that it is there. Raises ConnectionError or TimeoutError."""
        await self._publishing.open()
        await self._consuming.open()
        act = topology_on_broker.declare if declare else topology_on_broker.require
        await act(self._publishing, self._names, queues)

    async def publish(self, message: Message) -> None:
        """Return on the broker's confirm: every bound quorum queue has stored the message on a majority.

        Raises `Unroutable` when no queue took it or one is full, `Unconfirmed` after 10 s or a lost connection.
        """
        if message.exchange not in EXCHANGES:
            # Asking the broker would close the channel, and with it every publish in flight.
            raise Unroutable(f"there is no exchange {message.exchange}")
        async with self._room:
            self._in_flight += 1
            self._landed.clear()
            try:
                await self._confirmed(message)
            finally:
                self._in_flight -= 1
                if not self._in_flight:
                    self._landed.set()

    async def _confirmed(self, message: Message) -> None:
        try:
            with BROKER_ERRORS:
                channel = await self._publisher(confirms=True)
                await channel.basic_publish(
                    message.body,
                    exchange=self._names.on_broker(message.exchange),
                    routing_key=message.routing_key,
                    properties=properties_of(message, login=self._login, delivery_mode=PERSISTENT),
                    mandatory=True,
                    wait=False,
                    timeout=self._confirm_seconds,
                )
        except DeliveryError as error:
            raise Unroutable(f"{message.routing_key} on {message.exchange}: {error}") from error
        except (ValueError, TypeError) as error:
            raise Unroutable(f"{message.type} cannot be written as an AMQP message: {error}") from error
        except (TimeoutError, OSError) as error:
            raise Unconfirmed(f"no confirm within {self._confirm_seconds:g} s: {error}") from error

    async def _publisher(self, *, confirms: bool) -> Channel:
        """The one channel for publishing with confirms, or the one without."""
        if self._is_closed:
            raise ConnectionError("the transport is closed")
        channel = self._channels.get(confirms)
        if channel is not None and not channel.is_closed:
            return channel
        async with self._opening:
            channel = self._channels.get(confirms)
            if channel is None or channel.is_closed:
                channel = self._channels[confirms] = await self._publishing.channel(confirms=confirms)
            return channel

    async def reply(self, message: Message) -> None:
        """Send to a reply queue if the broker is there. Whatever goes wrong, the outcome event completes the operation."""
        if not self._publishing.is_connected:
            return
        with contextlib.suppress(TimeoutError, OSError, ValueError, TypeError):
            async with asyncio.timeout(CONNECT_SECONDS):
                with BROKER_ERRORS:
                    channel = await self._publisher(confirms=False)
                    await channel.basic_publish(
                        message.body,
                        exchange="",
                        routing_key=self._names.on_broker(message.routing_key),
                        properties=properties_of(message, login=self._login, delivery_mode=TRANSIENT),
                        wait=False,
                    )

    @asynccontextmanager
    async def subscribe(self, queue: Queue, *, prefetch: int = 50) -> AsyncIterator[RabbitSubscription]:
        """Consume a durable queue; raises ConnectionError or TimeoutError when that cannot begin."""

        async def existing(_: Channel) -> str:
            return self._names.on_broker(queue.name)

        async with self._subscription(existing, prefetch=prefetch, most_buffered=prefetch) as subscription:
            yield subscription

    @asynccontextmanager
    async def replies(self, name: str) -> AsyncIterator[RabbitSubscription]:
        """An exclusive queue of this connection; made anew, and empty, when the connection was lost."""

        async def made(channel: Channel) -> str:
            return await self._exclusive(channel, name, most=MOST_REPLIES)

        async with self._subscription(made, prefetch=None, most_buffered=MOST_REPLIES) as subscription:
            yield subscription

    @asynccontextmanager
    async def listen(self, bindings: tuple[str, ...]) -> AsyncIterator[RabbitSubscription]:
        """An exclusive queue of events from now on; a lost connection loses what came meanwhile."""

        async def made(channel: Channel) -> str:
            queue = await self._exclusive(channel, f"{self._application}.live.{new_id()}", most=MOST_LISTENED)
            for binding in bindings:
                await channel.queue_bind(queue, self._names.on_broker(EVENTS), routing_key=binding)
            return queue

        async with self._subscription(made, prefetch=None, most_buffered=MOST_LISTENED) as subscription:
            yield subscription

    async def _exclusive(self, channel: Channel, name: str, *, most: int) -> str:
        arguments: Arguments = {"x-max-length": most, "x-overflow": "drop-head"}
        queue = self._names.on_broker(name)
        await channel.queue_declare(queue, exclusive=True, auto_delete=True, arguments=arguments)
        return queue

    @asynccontextmanager
    async def _subscription(
        self, queue: QueueName, *, prefetch: int | None, most_buffered: int
    ) -> AsyncIterator[RabbitSubscription]:
        subscription = RabbitSubscription(
            self._consuming, self._names, queue, prefetch=prefetch, most_buffered=most_buffered
        )
        await subscription.open()
        self._subscriptions.add(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)
            await subscription.end()

    async def dead_letter(self, queue: Queue, message: Message, *, reason: str) -> None:
        """Publish, confirmed, to the queue's dead letters; headers tell the reason and the vouched sender."""
        kept = {name: value for name, value in message.headers.items() if name != DEATHS}
        headers = {**kept, REASON_HEADER: reason, SENDER_HEADER: message.sender or ""}
        await self.publish(message._replace(exchange=DEAD, routing_key=queue.name, headers=headers))

    async def depth(self, queue_name: str) -> int:
        """Messages ready for delivery; raises ConnectionError when there is no such queue."""
        channel = await self._publishing.channel(confirms=False)
        try:
            with BROKER_ERRORS:
                async with asyncio.timeout(CONNECT_SECONDS):
                    declared = await channel.queue_declare(self._names.on_broker(queue_name), passive=True)
            return declared.message_count or 0
        finally:
            await close_channel(channel)

    @property
    def is_connected(self) -> bool:
        """Whether both connections stand."""
        return self._publishing.is_connected and self._consuming.is_connected

    async def close(self) -> None:
        """End every `receive`, wait up to 2 s for confirms under way, then close within 2 s more."""
        if self._is_closed:
            return
        self._is_closed = True
        for subscription in self._subscriptions:
            subscription.interrupt()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._landed.wait()
        await asyncio.gather(self._publishing.close(), self._consuming.close())


async def connect_rabbitmq(
    url: str,
    *,
    namespace: str = "",
    application: str,
    declare: bool = True,
    queues: Sequence[Queue] = QUEUES,
    confirm_seconds: float = CONFIRM_SECONDS,
) -> RabbitTransport:
    """Connect, and declare the topology or (`declare=False`) check that the operator has declared it.

    Raises ConnectionError or TimeoutError; then nothing stays open.
    """
    transport = RabbitTransport(url, names=Names(namespace), application=application, confirm_seconds=confirm_seconds)
    try:
        await transport.open(declare=declare, queues=queues)
    except BaseException:
        await transport.close()
        raise
    return transport
