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


@pytest.mark.parametrize(
    ("sender", "app_id", "readings"), [("shop", "", 1), ("shop", "gateway", 1), ("reeve_gateway", "gateway", 3)]
)
async def test_the_schemas_are_read_anew_for_the_gateway_alone(
    database_for: Callable[..., Awaitable[Database]], sender: str, app_id: str, readings: int
) -> None:
    database, transport = await database_for("gateway"), VouchingTransport(queues=[QUEUE])
    looks: list[None] = []

    async def revisions() -> Mapping[str, int]:
        looks.append(None)
        return {}

    async def kept(event_types: Sequence[str]) -> Sequence[Kept]:
        return []

    async def handle(session: Session, arrived: Sequence[Arrived]) -> None:
        pass

    book = SchemaBook(revisions, kept, seconds=60.0)
    subscriber = Subscriber(database, transport, QUEUE, handle=handle, catalog=CATALOG, clients=[SHOP], registered=book)
    sending = [asyncio.ensure_future(transport.send(labelled(sender=sender, app_id=app_id))) for _ in range(3)]
    await eventually(lambda: _depth_is(transport, 3))
    task = asyncio.ensure_future(subscriber.run())
    await asyncio.gather(*sending)
    assert len(looks) == readings
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _depth_is(transport: VouchingTransport, count: int) -> bool:
    return await transport.depth(QUEUE.name) == count
