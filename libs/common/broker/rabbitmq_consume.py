"""One consumer on RabbitMQ: deliveries collected in a buffer, settled by as few frames as possible.

A channel that breaks is opened again inside `receive`. What it had delivered is forgotten, since the
broker delivers it again, and settling it later does nothing.
"""

import asyncio
import contextlib
import random
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from aiormq.abc import DeliveredMessage
from aiormq.channel import Channel

from libs.common import logs
from libs.common.broker.declare import Names
from libs.common.broker.link import BROKER_ERRORS, CONNECT_SECONDS, Link, close_channel
from libs.common.broker.rabbitmq_message import message_of
from libs.common.broker.transport import Delivery

SETTLING_TURNS = 4
"""Turns of the event loop that pass without a further message before a batch is handed out."""
MOST_PAUSE_SECONDS = 2.0

QueueName = Callable[[Channel], Awaitable[str]]
"""Makes sure on a new channel that the queue is there, and returns its name on the broker."""

log = logs.get("broker")


class Tag(NamedTuple):
    """A delivery tag means something on its own channel only."""

    channel: Channel
    number: int


class RabbitSubscription:
    """A consumer with at most `prefetch` unsettled messages, or one that settles nothing (`prefetch=None`).

    Without settling, `most_buffered` bounds what waits here, and the oldest are dropped.
    """

    def __init__(self, link: Link, names: Names, queue: QueueName, *, prefetch: int | None, most_buffered: int) -> None:
        self._link = link
        self._names = names
        self._queue = queue
        self._prefetch = prefetch
        self._channel: Channel | None = None
        self._is_lost = False
        self._buffer: deque[DeliveredMessage] = deque(maxlen=most_buffered)
        self._unsettled: dict[int, None] = {}
        self._wake = asyncio.Event()
        self._is_ended = False

    async def open(self) -> None:
        """Start consuming; raises ConnectionError or TimeoutError."""
        channel = await self._link.channel(confirms=False)
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                with BROKER_ERRORS:
                    await self._consume(channel)
        except BaseException:
            await close_channel(channel)
            raise

    async def _consume(self, channel: Channel) -> None:
        queue = await self._queue(channel)
        if self._prefetch is not None:
            await channel.basic_qos(prefetch_count=self._prefetch)
            self._buffer.clear()
        self._unsettled = {}
        self._is_lost = False
        self._channel = channel
        channel.closing.add_done_callback(lambda _: self._wake.set())
        channel.on_consumer_cancel_callbacks.add(lambda _: self._lose(channel))

        async def take_at_once(delivered: DeliveredMessage) -> None:
            self._arrive(channel, delivered)

        await channel.basic_consume(queue, take_at_once, no_ack=self._prefetch is None)

    def _arrive(self, channel: Channel, delivered: DeliveredMessage) -> None:
        if channel is not self._channel:
            return
        self._buffer.append(delivered)
        if self._prefetch is not None:
            self._unsettled[delivered.delivery_tag or 0] = None
        self._wake.set()

    def _lose(self, channel: Channel) -> None:
        """The broker cancelled the consumer (its queue was deleted or moved): begin again."""
        if channel is self._channel:
            self._is_lost = True
            self._wake.set()

    async def receive(self, most: int) -> list[Delivery]:
        """Wait for a message, then return what is here; raises ConnectionError when the transport closes."""
        while True:
            if self._is_ended or self._link.is_closed:
                raise ConnectionError("the transport is closed")
            if self._channel is None or self._channel.is_closed or self._is_lost:
                await self._reopen()
            elif self._buffer:
                await self._gather(most)
                if taken := self._take(most):
                    return taken
            else:
                self._wake.clear()
                await self._wake.wait()

    async def _gather(self, most: int) -> None:
        """Let what the socket has already brought reach the buffer: a batch costs a transaction, a turn nothing."""
        quiet = 0
        while quiet < SETTLING_TURNS and len(self._buffer) < most:
            before = len(self._buffer)
            await asyncio.sleep(0)
            quiet = quiet + 1 if len(self._buffer) == before else 0

    def _take(self, most: int) -> list[Delivery]:
        if self._channel is None:
            return []
        count = min(most, len(self._buffer))
        return [self._delivery(self._channel, self._buffer.popleft()) for _ in range(count)]

    def _delivery(self, channel: Channel, delivered: DeliveredMessage) -> Delivery:
        tag = Tag(channel, delivered.delivery_tag or 0)
        return Delivery(message_of(delivered, self._names), tag, bool(delivered.redelivered))

    async def _reopen(self) -> None:
        """Consume again, trying until it works or the transport closes."""
        if self._channel is not None and not self._channel.is_closed:
            await close_channel(self._channel)
        self._channel = None
        try:
            await self.open()
        except (OSError, TimeoutError) as error:
            if self._is_ended or self._link.is_closed:
                return
            log.warning("consumer not restored yet", error=str(error)[:200])
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(random.uniform(0.2, MOST_PAUSE_SECONDS)):  # noqa: S311
                    await self._wake.wait()
        else:
            log.info("consumer restored")

    async def settle(self, deliveries: Sequence[Delivery]) -> None:
        """Acknowledge, the contiguous front by one frame. On a channel that is gone this does nothing."""
        channel, front, rest = self._split(deliveries)
        if channel is None:
            return
        with contextlib.suppress(ConnectionError), BROKER_ERRORS:
            if front:
                await channel.basic_ack(front, multiple=True, wait=False)
            for number in rest:
                await channel.basic_ack(number, wait=False)

    async def release(self, deliveries: Sequence[Delivery]) -> None:
        """Requeue, in order."""
        channel, front, rest = self._split(deliveries)
        if channel is None:
            return
        with contextlib.suppress(ConnectionError), BROKER_ERRORS:
            if front:
                await channel.basic_nack(front, multiple=True, requeue=True, wait=False)
            for number in rest:
                await channel.basic_nack(number, requeue=True, wait=False)

    def _split(self, deliveries: Sequence[Delivery]) -> tuple[Channel | None, int, list[int]]:
        """The channel, the tag up to which all that is unsettled is meant (0 for none), and single tags beyond."""
        channel = self._channel
        if channel is None or self._prefetch is None:
            return None, 0, []
        meant = {delivery.tag.number for delivery in deliveries if delivery.tag.channel is channel}
        meant &= self._unsettled.keys()
        front = 0
        for number in self._unsettled:
            if number not in meant:
                break
            front = number
        for number in meant:
            del self._unsettled[number]
        return channel, front, sorted(number for number in meant if number > front)

    async def end(self) -> None:
        """Stop consuming; what is unsettled goes back to the queue."""
        self._is_ended = True
        self._wake.set()
        channel, self._channel = self._channel, None
        if channel is not None:
            await close_channel(channel)

    def interrupt(self) -> None:
        """End a `receive` that is waiting, as the transport closes."""
        self._is_ended = True
        self._wake.set()
