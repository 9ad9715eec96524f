"""The relay: outbox rows published and confirmed per second, beside the publisher alone with the same messages."""

import asyncio
import time
from typing import Any

from libs.common.broker.rabbitmq import connect_rabbitmq
from libs.common.broker.topology import EVENTS, Queue
from libs.common.database import outbox
from libs.common.database.engine import Database
from libs.common.delivery.packing import packs, to_message
from libs.common.delivery.relay import Relay
from libs.common.ids import new_id
from tests.support.makers import a_claimed_row, an_event
from tests.support.postgres import PlatformDatabases
from tests.support.rabbitmq import found_rabbitmq, remove_namespace

QUEUE = Queue("bench.relay", EVENTS, ("#",))


async def relay_figures(admin_url: str, *, rows: int) -> dict[str, Any]:
    """Fill an outbox, drain it by a relay to RabbitMQ (packed, and of changing types, so one event a message)."""
    databases = PlatformDatabases(admin_url)
    async with found_rabbitmq() as amqp_url:
        try:
            platform = await databases.make("gateway")
            database = platform.database("gateway")
            found: dict[str, Any] = {}
            for name, kinds in (("packed", 1), ("one_event_a_message", 2)):
                count = rows if kinds == 1 else rows // 4
                relayed = await _relay(database, amqp_url, count, kinds)
                alone = await _publisher(amqp_url, count, kinds)
                found[name] = {
                    "rows": count, "relay_per_second": round(relayed), "publisher_per_second": round(alone),
                    "ratio": round(relayed / alone, 3),
                }  # fmt: skip
            await database.close()
            await databases.give_back(platform)
            return found
        finally:
            await databases.close()


async def _relay(database: Database, amqp_url: str, count: int, kinds: int) -> float:
    namespace = f"bench-{new_id()[-12:]}"
    transport = await connect_rabbitmq(amqp_url, namespace=namespace, application="bench", queues=(QUEUE,))
    for begin in range(0, count, 1000):
        async with database.transaction() as session:
            await outbox.emit(session, *[an_event(type=f"com.bench.t{n % kinds}") for n in range(begin, begin + 1000)])
    relay = asyncio.ensure_future(Relay(database, transport, producer="gateway").run())
    started = time.perf_counter()
    while True:
        async with database.reading() as session:
            if (await outbox.backlog(session)).count == 0:
                break
        await asyncio.sleep(0.01)
    elapsed = time.perf_counter() - started
    relay.cancel()
    await asyncio.gather(relay, return_exceptions=True)
    await transport.close()
    await remove_namespace(amqp_url, namespace, queues=(QUEUE,))
    return count / elapsed


async def _publisher(amqp_url: str, count: int, kinds: int) -> float:
    namespace = f"bench-{new_id()[-12:]}"
    transport = await connect_rabbitmq(amqp_url, namespace=namespace, application="bench", queues=(QUEUE,))
    claimed = [a_claimed_row(n, type=f"com.bench.t{n % kinds}") for n in range(1, count + 1)]
    messages = [
        to_message(pack, producer="gateway")
        for begin in range(0, count, 500)
        for pack in packs(claimed[begin : begin + 500])
    ]
    started = time.perf_counter()
    for begin in range(0, len(messages), 500):
        await asyncio.gather(*[transport.publish(message) for message in messages[begin : begin + 500]])
    elapsed = time.perf_counter() - started
    await transport.close()
    await remove_namespace(amqp_url, namespace, queues=(QUEUE,))
    return count / elapsed
