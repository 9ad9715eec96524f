"""Who has a subscriber read the registered schemas anew: a new subscription and the gateway's word, and nobody else."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace

import pytest

from libs.common.broker.topology import AUDIT_EVENTS
from libs.common.broker.transport import Message
from libs.common.database.engine import Database, Session
from libs.common.delivery.arrivals import Arrived
from libs.common.delivery.senders import RegisteredClient
from libs.common.delivery.subscriber import Subscriber
from libs.common.events.all_types import CATALOG
from libs.common.events.envelope import STRUCTURED, encode
from libs.common.events.event_types import EventTypeDeleted
from libs.common.events.registered import Kept, SchemaBook
from tests.support.eventually import eventually
from tests.support.makers import an_event
from tests.support.vouching import VouchingTransport

QUEUE = replace(AUDIT_EVENTS, name="test.events")
SHOP = RegisteredClient("shop", "/platform/shop", ("com.shop.*",))


def labelled(*, sender: str | None, app_id: str) -> Message:
    """An event of the shop's in a message that calls itself news of the catalogue."""
    event = an_event(source="/platform/shop", type="com.shop.sold")
    return Message(
        encode(event),
        STRUCTURED,
        "reeve.events",
        event.type,
        event.id,
        EventTypeDeleted.TYPE,
        app_id=app_id,
        sender=sender,
    )


class Stand:
    """A subscriber that judges by an empty book, which is fresh for a minute, and how often that was read."""

    def __init__(self, database: Database, transport: VouchingTransport) -> None:
        self.looks: list[None] = []
        book = SchemaBook(self._revisions, self._kept, seconds=60.0)
        self.subscriber = Subscriber(
            database, transport, QUEUE, handle=self._handle, catalog=CATALOG, clients=[SHOP], registered=book
        )

    async def _revisions(self) -> Mapping[str, int]:
        self.looks.append(None)
        return {}

    async def _kept(self, event_types: Sequence[str]) -> Sequence[Kept]:
        return []

    async def _handle(self, session: Session, arrived: Sequence[Arrived]) -> None:
        pass


@pytest.mark.parametrize(
    ("sender", "app_id", "readings"), [("shop", "", 1), ("shop", "gateway", 1), ("reeve_gateway", "gateway", 3)]
)
async def test_the_schemas_are_read_anew_for_the_gateway_alone(
    database_for: Callable[..., Awaitable[Database]], sender: str, app_id: str, readings: int
) -> None:
    database, transport = await database_for("gateway"), VouchingTransport(queues=[QUEUE])
    stand = Stand(database, transport)
    sending = [asyncio.ensure_future(transport.send(labelled(sender=sender, app_id=app_id))) for _ in range(3)]
    await eventually(lambda: _depth_is(transport, 3))
    task = asyncio.ensure_future(stand.subscriber.run())
    await asyncio.gather(*sending)
    assert len(stand.looks) == readings
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_new_subscription_reads_anew(database_for: Callable[..., Awaitable[Database]]) -> None:
    """Another process may have had the queue meanwhile, and learned from it."""
    database, transport = await database_for("gateway"), VouchingTransport(queues=[QUEUE])
    stand = Stand(database, transport)
    for readings in (1, 2):
        task = asyncio.ensure_future(stand.subscriber.run())
        for _ in range(2):
            await transport.send(labelled(sender="shop", app_id=""))
        assert len(stand.looks) == readings
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _depth_is(transport: VouchingTransport, count: int) -> bool:
    return await transport.depth(QUEUE.name) == count
