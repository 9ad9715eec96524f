"""Reading ahead: the next messages are taken from the broker and decoded while the batch before them commits.

So neither the database waits for the decoder nor the decoder for the database. What is not applied yet is bounded by the
subscription's own bound on unsettled messages and by `most`, and belongs to the broker until it is settled.
"""

import asyncio
from types import TracebackType
from typing import NamedTuple, Self

from libs.common.broker.transport import Delivery, Subscription
from libs.common.delivery.senders import producer_of
from libs.common.events.envelope import MOST_EVENT_BYTES, Event, MalformedEvent, decode_message


class Opened(NamedTuple):
    """One message with its events, or with the reason why it has none."""

    delivery: Delivery
    producer: str
    """The service whose relay sent it; empty for everybody else."""
    events: list[Event]
    fault: str | None


class ReadAhead:
    """Takes and decodes up to `most` messages that nobody has asked for yet. An async context manager."""

    def __init__(self, subscription: Subscription, *, most: int) -> None:
        self._subscription = subscription
        self._most = most
        self._opened: list[Opened] = []
        self._came = asyncio.Event()
        self._room = asyncio.Event()
        self._reader: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._reader = asyncio.create_task(self._read(), name="read ahead")
        self._reader.add_done_callback(lambda _: self._came.set())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.wait([self._reader])
            if not self._reader.cancelled():
                # Raised by `take`, or of no interest to whoever leaves for another reason.
                self._reader.exception()

    async def take(self) -> list[Opened]:
        """Everything that is here, at least one message, in order; raises what `receive` raised once nothing is left."""
        while not self._opened:
            if self._reader is not None and self._reader.done():
                self._reader.result()
            self._came.clear()
            await self._came.wait()
        taken, self._opened = self._opened, []
        self._room.set()
        return taken

    async def _read(self) -> None:
        while True:
            if (room := self._most - len(self._opened)) <= 0:
                self._room.clear()
                await self._room.wait()
                continue
            came = []
            for delivery in await self._subscription.receive(room):
                came.append(opened(delivery))
                # Fifty events take most of a millisecond: others have their turn.
                await asyncio.sleep(0)
            # What came together is taken together: a batch costs a transaction.
            self._opened += came
            self._came.set()


def opened(delivery: Delivery) -> Opened:
    """The message decoded. Only a relay of ours may pack more than one event's bytes into one."""
    message = delivery.message
    producer = producer_of(message)
    if not producer and len(message.body) > MOST_EVENT_BYTES:
        return Opened(delivery, producer, [], f"too_large: over {MOST_EVENT_BYTES} bytes")
    try:
        events = decode_message(message.content_type, message.headers, message.body, trusted=bool(producer))
    except MalformedEvent as error:
        return Opened(delivery, producer, [], f"malformed: {error}")
    return Opened(delivery, producer, events, None)
