"""A database that is away: messages are held and not given back, as the broker parks what it delivered too often."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

import pytest

from libs.common.broker import declare
from libs.common.database.engine import Database
from libs.common.delivery.metrics import CONSUMER_RETRIES
from libs.common.events.registered import Kept, SchemaBook
from tests.integration.delivery.test_delivery import QUEUE, Ledger, a_message, a_subscriber, running
from tests.support.eventually import eventually
from tests.support.makers import an_event
from tests.support.postgres import PlatformDatabase
from tests.support.rabbitmq_fixtures import RabbitNamespace
from tests.support.tcp_proxy import TcpProxy, proxied

MOST_DELIVERIES = 3
AWAY_SECONDS = 1.5
"""A subscription that began anew each time would use up the deliveries many times over."""


@pytest.fixture(autouse=True)
def few_deliveries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(declare, "DELIVERY_LIMIT", MOST_DELIVERIES)


@asynccontextmanager
async def behind_proxy(platform: PlatformDatabase) -> AsyncIterator[tuple[Database, TcpProxy]]:
    async with proxied(platform.urls["gateway"], 5432) as (url, proxy):
        database = Database(url, schema="gateway", application="test-away", pool_size=2)
        try:
            yield database, proxy
        finally:
            await database.close()


def a_book(database: Database) -> SchemaBook:
    """No type is registered, which has to be asked each time."""

    async def revisions() -> Mapping[str, int]:
        async with database.direct() as session:
            await session.fetch("SELECT 1")
        return {}

    async def kept(event_types: Sequence[str]) -> Sequence[Kept]:
        return []

    return SchemaBook(revisions, kept, seconds=0.0)


def tries() -> float:
    return float(CONSUMER_RETRIES.labels(QUEUE.name)._value.get())


@pytest.mark.parametrize("began", ["before it went", "while it is away"])
async def test_what_waits_for_the_database_is_not_parked(
    platform_db: Callable[..., Awaitable[PlatformDatabase]], rabbitmq_namespace: RabbitNamespace, began: str
) -> None:
    ledger, before = Ledger(), tries()
    events = [an_event().numbered(number) for number in range(1, 6)]
    transport = await rabbitmq_namespace.connect(queues=(QUEUE,))
    async with behind_proxy(await platform_db("gateway")) as (database, proxy):
        subscriber = a_subscriber(database, transport, ledger, registered=a_book(database))
        if began == "while it is away":
            await proxy.refuse()
        async with running(subscriber.run):
            await transport.publish(a_message(events[0], app_id="gateway"))
            if began == "before it went":
                await eventually(lambda: ledger.seen)
                await proxy.refuse()
            for event in events[1:]:
                await transport.publish(a_message(event, app_id="gateway"))
            await asyncio.sleep(AWAY_SECONDS)
            await proxy.start()
            await eventually(lambda: len(ledger.seen) == len(events), within_seconds=20)

            async def is_settled() -> bool:
                return await transport.depth(QUEUE.name) == 0

            await eventually(is_settled)
    assert [event.id for event in ledger.seen] == [event.id for event in events]
    assert await transport.depth(QUEUE.dead) == 0
    assert tries() > before, "the database was never away for the subscriber"
