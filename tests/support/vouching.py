"""The in-process transport with a broker's knowledge of who sent what."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from libs.common.broker.embedded import EmbeddedTransport
from libs.common.broker.topology import Queue
from libs.common.broker.transport import Delivery, Message


class Vouched:
    """A subscription whose deliveries bear the sender that the test's broker vouches for."""

    def __init__(self, below: Any) -> None:
        self._below = below

    async def receive(self, most: int) -> list[Delivery]:
        return [
            one._replace(message=one.message._replace(sender=one.message.headers.get("vouched")))
            for one in await self._below.receive(most)
        ]

    async def settle(self, deliveries: Sequence[Delivery]) -> None:
        await self._below.settle(deliveries)


class VouchingTransport(EmbeddedTransport):
    """The in-process transport with a broker's knowledge of who sent what."""

    @asynccontextmanager
    async def subscribe(self, queue: Queue, *, prefetch: int = 50) -> AsyncIterator[Any]:
        async with super().subscribe(queue, prefetch=prefetch) as below:
            yield Vouched(below)

    async def send(self, message: Message) -> None:
        """Publish as the user that the message names."""
        await self.publish(message._replace(headers={"vouched": message.sender}))
