"""Queues in memory: one that waits for acknowledgement, and one that only passes on."""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from libs.common.broker.routing import topic_matches
from libs.common.broker.topology import EVENTS, Queue
from libs.common.broker.transport import Delivery, Message


@dataclass(slots=True, eq=False)
class Held:
    """A message in one queue, its place in the queue's order, and the future that its settling resolves."""

    message: Message
    number: int
    settled: asyncio.Future[None]
    redelivered: bool = False


class EmbeddedQueue:
    """One durable queue of the topology. A message leaves it when a consumer settles it."""

    def __init__(self, queue: Queue, *, most: int) -> None:
        self.name = queue.name
        self._queue = queue
        self._most = most
        self._waiting: deque[Held] = deque()
        self._consumers: list[EmbeddedSubscription] = []
        self._count = 0
        self._in_hands = 0
        self._is_closed = False

    def takes(self, message: Message) -> bool:
        """Whether a binding of this queue matches."""
        if message.exchange != self._queue.exchange:
            return False
        if message.exchange == EVENTS:
            return any(topic_matches(binding, message.routing_key) for binding in self._queue.bindings)
        return message.routing_key in self._queue.bindings

    @property
    def depth(self) -> int:
        """Messages that no consumer has in hands."""
        return len(self._waiting)

    @property
    def is_full(self) -> bool:
        """Whether one more is refused; those in a consumer's hands count, as they may come back."""
        return len(self._waiting) + self._in_hands >= self._most

    def put(self, message: Message) -> asyncio.Future[None]:
        """Append; the future is done when a consumer has settled it."""
        self._count += 1
        held = Held(message, self._count, asyncio.get_running_loop().create_future())
        self._waiting.append(held)
        self.wake()
        return held.settled

    def take(self, most: int) -> list[Held]:
        """Into a consumer's hands."""
        taken = [self._waiting.popleft() for _ in range(min(most, len(self._waiting)))]
        self._in_hands += len(taken)
        return taken

    def put_back(self, held: Sequence[Held]) -> None:
        """Out of a consumer's hands, to the front, in the order of their first arrival."""
        for one in sorted(held, key=lambda one: one.number, reverse=True):
            one.redelivered = True
            self._waiting.appendleft(one)
        self._in_hands -= len(held)
        self.wake()

    def done(self, held: Sequence[Held]) -> None:
        """Settled for good."""
        self._in_hands -= len(held)
        for one in held:
            if not one.settled.done():
                one.settled.set_result(None)

    def may_read(self, consumer: "EmbeddedSubscription") -> bool:
        """With a single active consumer only the one that joined first reads."""
        return not self._queue.single_active or self._consumers[:1] == [consumer]

    def join(self, consumer: "EmbeddedSubscription") -> None:
        """A new consumer, behind the others."""
        self._consumers.append(consumer)

    def leave(self, consumer: "EmbeddedSubscription") -> None:
        """What the consumer has not settled goes back, and the next one in line may read."""
        self._consumers.remove(consumer)
        self.put_back(consumer.drop())

    def wake(self) -> None:
        """Let every consumer look again."""
        for consumer in self._consumers:
            consumer.wake.set()

    @property
    def is_closed(self) -> bool:
        """Whether the transport has closed."""
        return self._is_closed

    def close(self) -> None:
        """End the consumers, and tell the publishers that nothing will settle what waits here."""
        self._is_closed = True
        in_hands = [held for consumer in self._consumers for held in consumer.unsettled]
        for held in [*self._waiting, *in_hands]:
            if not held.settled.done():
                held.settled.set_exception(ConnectionError("the transport is closed"))
                held.settled.exception()
        self.wake()


class EmbeddedSubscription:
    """One consumer of an `EmbeddedQueue`; at most `prefetch` messages are in its hands."""

    def __init__(self, queue: EmbeddedQueue, *, prefetch: int) -> None:
        self._queue = queue
        self._prefetch = prefetch
        self._held: dict[int, Held] = {}
        self.wake = asyncio.Event()

    async def receive(self, most: int) -> list[Delivery]:
        """Wait for a message, then return what is here; raises ConnectionError when the transport closes."""
        while True:
            if self._queue.is_closed:
                raise ConnectionError("the transport is closed")
            room = min(most, self._prefetch - len(self._held))
            if room > 0 and self._queue.depth and self._queue.may_read(self):
                return self._take(room)
            self.wake.clear()
            await self.wake.wait()

    def _take(self, room: int) -> list[Delivery]:
        taken = self._queue.take(room)
        self._held |= {held.number: held for held in taken}
        return [Delivery(held.message, held.number, held.redelivered) for held in taken]

    async def settle(self, deliveries: Sequence[Delivery]) -> None:
        """Acknowledge: the publisher's wait ends when every bound queue has come this far."""
        self._queue.done(self._out_of_hands(deliveries))

    async def release(self, deliveries: Sequence[Delivery]) -> None:
        """Give back, to the front of the queue."""
        self._queue.put_back(self._out_of_hands(deliveries))

    def _out_of_hands(self, deliveries: Sequence[Delivery]) -> list[Held]:
        held = [self._held.pop(delivery.tag) for delivery in deliveries if delivery.tag in self._held]
        self.wake.set()
        return held

    @property
    def unsettled(self) -> list[Held]:
        """What is in this consumer's hands."""
        return list(self._held.values())

    def drop(self) -> list[Held]:
        """Take everything out of this consumer's hands."""
        held, self._held = self.unsettled, {}
        return held


@dataclass(slots=True, eq=False)
class Passing:
    """A bounded queue that nobody acknowledges: past `most` the oldest are dropped."""

    most: int
    waiting: deque[Message] = field(default_factory=deque)
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    is_closed: bool = False

    def put(self, message: Message) -> None:
        """Append, dropping the oldest at the bound."""
        if len(self.waiting) >= self.most:
            self.waiting.popleft()
        self.waiting.append(message)
        self.wake.set()

    def close(self) -> None:
        """End the reader."""
        self.is_closed = True
        self.wake.set()


class PassingSubscription:
    """The reader of a `Passing`; settling and releasing mean nothing to it."""

    def __init__(self, passing: Passing) -> None:
        self._passing = passing

    async def receive(self, most: int) -> list[Delivery]:
        """Wait for a message, then return what is here; raises ConnectionError when the transport closes."""
        passing = self._passing
        while not passing.waiting:
            if passing.is_closed:
                raise ConnectionError("the transport is closed")
            passing.wake.clear()
            await passing.wake.wait()
        return [Delivery(passing.waiting.popleft(), None) for _ in range(min(most, len(passing.waiting)))]

    async def settle(self, deliveries: Sequence[Delivery]) -> None:
        """Nothing: what was received is gone from the queue."""

    async def release(self, deliveries: Sequence[Delivery]) -> None:
        """Nothing: what was received is gone from the queue."""
