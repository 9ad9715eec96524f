"""The broker of a single process: the same promises as RabbitMQ, with the outbox as the durable queue.

Nothing is stored here. `publish` returns when every bound queue's consumer has settled the message, so
that an outbox row, which is deleted only then, outlives a crash of the process and is published again.
The transport trusts its own process: `sender` is always None and `app_id` is believed.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from libs.common.broker.embedded_queue import EmbeddedQueue, EmbeddedSubscription, Passing, PassingSubscription
from libs.common.broker.routing import topic_matches
from libs.common.broker.topology import DEAD, EVENTS, MOST_LISTENED, MOST_REPLIES, QUEUES, Queue
from libs.common.broker.transport import Message, Unconfirmed, Unroutable

MOST_HELD = 10_000
"""Messages that one queue holds in memory before a publisher is refused."""


class EmbeddedTransport:
    """All services of one process share one object; `queues` are those whose consumers this process runs."""

    kind = "embedded"

    def __init__(self, *, queues: Sequence[Queue] = QUEUES) -> None:
        self._queues = {queue.name: EmbeddedQueue(queue, most=min(queue.most_length, MOST_HELD)) for queue in queues}
        self._dead = {queue.dead: 0 for queue in queues}
        self._replies: dict[str, Passing] = {}
        self._listeners: list[tuple[tuple[str, ...], Passing]] = []
        self._is_closed = False

    async def publish(self, message: Message) -> None:
        """Return when every bound queue's consumer has settled it; waits for as long as the consumers take.

        Raises `Unroutable` when no queue is bound or one of them is full (then none has taken it), and
        `Unconfirmed` when the transport closes first.
        """
        if self._is_closed:
            raise Unconfirmed("the transport is closed")
        message = message._replace(sender=None)
        bound = [queue for queue in self._queues.values() if queue.takes(message)]
        heard = self._listening(message)
        if not bound and not heard:
            raise Unroutable(f"no queue is bound for {message.routing_key} on {message.exchange}")
        if full := [queue.name for queue in bound if queue.is_full]:
            raise Unroutable(f"queue {full[0]} is full")
        for passing in heard:
            passing.put(message)
        settled = [queue.put(message) for queue in bound]
        await self._until_settled(settled)

    async def _until_settled(self, settled: Sequence[asyncio.Future[None]]) -> None:
        try:
            for future in settled:
                await future
        except ConnectionError as error:
            raise Unconfirmed("the transport closed before every consumer had settled") from error

    def _listening(self, message: Message) -> list[Passing]:
        if message.exchange != EVENTS:
            return []
        return [
            passing
            for bindings, passing in self._listeners
            if any(topic_matches(binding, message.routing_key) for binding in bindings)
        ]

    async def reply(self, message: Message) -> None:
        """Hand over to the reply queue if it is there; otherwise nothing happens."""
        passing = self._replies.get(message.routing_key)
        if passing is not None:
            passing.put(message._replace(sender=None))

    @asynccontextmanager
    async def subscribe(self, queue: Queue, *, prefetch: int = 50) -> AsyncIterator[EmbeddedSubscription]:
        """Consume; what is unsettled at the end goes back to the front of the queue, in order."""
        self._refuse_when_closed()
        mine = self._queues.get(queue.name)
        if mine is None:
            raise ConnectionError(f"queue {queue.name} is not declared")
        subscription = EmbeddedSubscription(mine, prefetch=prefetch)
        mine.join(subscription)
        try:
            yield subscription
        finally:
            mine.leave(subscription)

    @asynccontextmanager
    async def replies(self, name: str) -> AsyncIterator[PassingSubscription]:
        """A reply queue of this process; raises ConnectionError when the name is taken."""
        self._refuse_when_closed()
        if name in self._replies:
            raise ConnectionError(f"reply queue {name} is taken")
        passing = self._replies[name] = Passing(most=MOST_REPLIES)
        try:
            yield PassingSubscription(passing)
        finally:
            del self._replies[name]

    @asynccontextmanager
    async def listen(self, bindings: tuple[str, ...]) -> AsyncIterator[PassingSubscription]:
        """Events from now on."""
        self._refuse_when_closed()
        entry = (bindings, Passing(most=MOST_LISTENED))
        self._listeners.append(entry)
        try:
            yield PassingSubscription(entry[1])
        finally:
            self._listeners = [other for other in self._listeners if other is not entry]

    async def dead_letter(self, queue: Queue, message: Message, *, reason: str) -> None:
        """Count it; the letter itself is kept in the consumer's table, as nothing here survives the process."""
        if self._is_closed:
            raise Unconfirmed("the transport is closed")
        if queue.dead not in self._dead:
            raise Unroutable(f"no queue is bound for {queue.name} on {DEAD}")
        self._dead[queue.dead] += 1

    async def depth(self, queue_name: str) -> int:
        """Messages waiting, not counting those in a consumer's hands; of dead letters those since the start."""
        if queue_name in self._dead:
            return self._dead[queue_name]
        if queue_name not in self._queues:
            raise ConnectionError(f"queue {queue_name} is not declared")
        return self._queues[queue_name].depth

    @property
    def is_connected(self) -> bool:
        """Whether it still takes messages."""
        return not self._is_closed

    async def close(self) -> None:
        """End every `receive` with ConnectionError and every waiting `publish` with `Unconfirmed`."""
        self._is_closed = True
        for queue in self._queues.values():
            queue.close()
        for passing in [*self._replies.values(), *(entry[1] for entry in self._listeners)]:
            passing.close()

    def _refuse_when_closed(self) -> None:
        if self._is_closed:
            raise ConnectionError("the transport is closed")
