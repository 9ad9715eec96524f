"""The broker as the rest of Reeve sees it: publish with confirm, take batches, settle after the commit.

Two implementations pass the same contract tests: RabbitMQ and the in-process one. Delivery is at least
once; order within one queue is the order of publishing for as long as nothing is released.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from libs.common.broker.topology import Queue


class Unconfirmed(Exception):
    """The broker did not confirm in time or the connection broke: the message may still arrive."""


class Unroutable(Exception):
    """No queue took the message (mandatory return), or its queue is full (reject-publish)."""


class Message(NamedTuple):
    """What travels. `sender` is the user that the broker vouches for, empty where it vouches for nobody; None in one process."""

    body: bytes
    content_type: str
    exchange: str
    routing_key: str
    message_id: str
    type: str
    app_id: str = ""
    """The producer: the service whose outbox the message comes from, such as `gateway`; empty for platforms."""
    headers: Mapping[str, Any] = MappingProxyType({})
    correlation_id: str | None = None
    reply_to: str | None = None
    sender: str | None = None


class Delivery(NamedTuple):
    """A message in this consumer's hands; `tag` is the transport's own handle for settling it."""

    message: Message
    tag: Any
    redelivered: bool = False


class Subscription(Protocol):
    """One consumer of one queue."""

    async def receive(self, most: int) -> list[Delivery]:
        """Wait for a message, then return what is already here, at most `most`, in queue order.

        A lost connection is waited out; ConnectionError is raised only when the transport closes.
        """
        ...

    async def settle(self, deliveries: Sequence[Delivery]) -> None:
        """Acknowledge. On a connection that broke meanwhile this does nothing: they come again."""
        ...

    async def release(self, deliveries: Sequence[Delivery]) -> None:
        """Give back for another delivery, at the front of the queue where the broker can."""
        ...


class Transport(Protocol):
    """A connection to the broker. Every call has a time-out; publishing and consuming do not share a connection."""

    kind: str
    """`rabbitmq` or `embedded`."""

    async def publish(self, message: Message) -> None:
        """Return once the broker (embedded: every bound consumer) has taken responsibility.

        Raises `Unroutable` when no queue took it and `Unconfirmed` when the outcome is unknown.
        """
        ...

    async def reply(self, message: Message) -> None:
        """Send to `message.routing_key` as a reply queue's name: not durable, no confirm, raises nothing.

        A queue or a broker that is gone loses the reply.
        """
        ...

    def subscribe(self, queue: Queue, *, prefetch: int = 50) -> AbstractAsyncContextManager[Subscription]:
        """Consume a durable queue of the topology. `prefetch` bounds the unsettled messages.

        What is unsettled at the end goes back to the queue. Entering raises ConnectionError or TimeoutError
        when the broker is away or knows no such queue.
        """
        ...

    def replies(self, name: str) -> AbstractAsyncContextManager[Subscription]:
        """An exclusive queue `name` for replies, gone with this process."""
        ...

    def listen(self, bindings: tuple[str, ...]) -> AbstractAsyncContextManager[Subscription]:
        """An exclusive queue of events from now on, for live updates; the oldest are dropped past 10,000.

        Neither replies nor live events need settling, and a lost connection loses those of the meantime.
        """
        ...

    async def dead_letter(self, queue: Queue, message: Message, *, reason: str) -> None:
        """Put the message with its reason into the queue's dead-letter queue, confirmed; raises as `publish` does."""
        ...

    async def depth(self, queue_name: str) -> int:
        """Messages waiting in a queue of the topology or a dead-letter queue, those in consumers' hands not counted.

        Raises ConnectionError or TimeoutError.
        """
        ...

    @property
    def is_connected(self) -> bool:
        """Whether the broker answers now."""
        ...

    async def close(self) -> None:
        """End every `receive`, wait up to 2 s for confirms under way, close: less than 5 s in all. Idempotent."""
        ...
