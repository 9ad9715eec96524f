"""The audit service: events drained from RabbitMQ into Postgres, beside asyncpg's COPY of the same rows in the same run.

The queue is filled first, so that only taking, decoding, describing and storing are measured. The table
has all its indexes and constraints; every batch commits.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from libs.common import collector
from libs.common.broker.rabbitmq import connect_rabbitmq
from libs.common.broker.topology import AUDIT_EVENTS
from libs.common.broker.transport import Transport
from libs.common.database.engine import Database
from libs.common.delivery.arrivals import Arrived
from libs.common.delivery.packing import packs, to_message
from libs.common.delivery.subscriber import Subscriber
from libs.common.events.all_types import CATALOG
from libs.common.events.envelope import Event
from libs.common.ids import new_id
from services.audit.handlers import Recorder
from services.audit.models.entries import describe
from services.audit.sequencer import Sequencer
from services.audit.store import wire
from services.audit.store.entries import COLUMNS, entry_ids
from tests.support.makers import a_claimed_row, an_event
from tests.support.postgres import PlatformDatabase, PlatformDatabases
from tests.support.rabbitmq import remove_namespace

IN_FLIGHT = 500
COPY_ROWS = 5_000
WAIT_SECONDS = 300.0


async def audit_figures(admin_url: str, amqp_url: str, *, events: int = 40_000) -> dict[str, float]:
    """Events per second one a message and packed, and rows per second of COPY; each on a fresh database."""
    databases = PlatformDatabases(admin_url)
    try:
        found: dict[str, float] = {}
        for name, kinds, count in (("single", 2, events // 2), ("packed", 1, events)):
            made = [an_entry_event(number, kinds) for number in range(1, count + 1)]
            platform = await databases.make("audit")
            found[f"{name}_per_second"] = round(await _drained(platform, amqp_url, made))
            found[f"{name}_copy_per_second"] = round(await _copied(platform, made))
            await databases.give_back(platform)
        return found
    finally:
        await databases.close()


def an_entry_event(number: int, kinds: int) -> Event:
    """What the gateway's relay publishes most: requests, and orders that a platform tells of. Two types never pack."""
    origin = {
        "username": "admin@example.com",
        "ip_address": f"192.0.2.{number % 250}",
        "user_agent": "Mozilla/5.0",
        "request_id": new_id(),
    }
    if kinds == 1 or number % 2:
        data = {
            "origin": origin, "action": "view_setting", "outcome": "success", "method": "GET", "status": 200,
            "path": f"/api/v1/admin/settings/key_{number % 500}", "permission": "settings:read",
        }  # fmt: skip
        made = an_event(
            data=data, subject=f"setting/key_{number % 500}", actorid=f"admin-{number % 50}", actortype="admin"
        )
    else:
        order = {
            "store_id": f"st-{number % 40}",
            "order_id": f"o-{number}",
            "total_cents": number % 9000,
            "country": "DE",
        }
        made = an_event(
            data=order,
            source="/platform/shop",
            type="com.shop.order.created.v1",
            subject=f"order/o-{number}",
            actortype="client",
        )
    return made


async def _drained(platform: PlatformDatabase, amqp_url: str, made: Sequence[Event]) -> float:
    namespace = f"bench-{new_id()[-12:]}"
    transport = await connect_rabbitmq(amqp_url, namespace=namespace, application="bench", queues=(AUDIT_EVENTS,))
    database = platform.database("audit")
    try:
        await _fill(transport, made)
        return len(made) / await _drain(database, transport, len(made))
    finally:
        await database.close()
        await transport.close()
        await remove_namespace(amqp_url, namespace, queues=(AUDIT_EVENTS,))


async def _fill(transport: Transport, made: Sequence[Event]) -> None:
    rows = [
        a_claimed_row(
            number, id=event.id, type=event.type, source=event.source, subject=event.subject, data=event.data,
            actorid=event.actorid, actortype=event.actortype,
        )
        for number, event in enumerate(made, 1)
    ]  # fmt: skip
    messages = [to_message(pack, producer="gateway") for pack in packs(rows)]
    for begin in range(0, len(messages), IN_FLIGHT):
        await asyncio.gather(*[transport.publish(message) for message in messages[begin : begin + IN_FLIGHT]])


async def _drain(database: Database, transport: Transport, expected: int) -> float:
    """Seconds from the start of the consumer to the commit of the last event; its leaves go into the tree meanwhile."""
    recorder, sequencer, stored, done = Recorder(), Sequencer(database), 0, asyncio.Event()

    async def after(arrived: Sequence[Arrived]) -> None:
        nonlocal stored
        stored += len(arrived)
        await recorder.count_stored(arrived)
        sequencer.wake()
        if stored >= expected:
            done.set()

    subscriber = Subscriber(
        database, transport, AUDIT_EVENTS, handle=recorder.record_events, after=after, catalog=CATALOG
    )
    collector.tune()  # as a service does at the end of its start
    started = time.perf_counter()
    tasks = [asyncio.ensure_future(subscriber.run()), asyncio.ensure_future(sequencer.run())]
    async with asyncio.timeout(WAIT_SECONDS):
        await done.wait()
    elapsed = time.perf_counter() - started
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return elapsed


async def _copied(platform: PlatformDatabase, made: Sequence[Event]) -> float:
    """Rows per second of COPY alone, 5,000 at a time, into the same table behind the ones that are there."""
    database = platform.database("audit")
    connection: Any = await database.dedicated()
    try:
        await wire.prepare(connection)
        first = len(made)
        places = range(first, first + len(made))
        entries = [describe(event, producer="gateway", catalog=CATALOG) for event in made]
        rows = [(place, name, *entry) for place, name, entry in zip(places, entry_ids(places), entries, strict=True)]
        started = time.perf_counter()
        for begin in range(0, len(rows), COPY_ROWS):
            await connection.copy_records_to_table("entries", columns=COLUMNS, records=rows[begin : begin + COPY_ROWS])
        return len(rows) / (time.perf_counter() - started)
    finally:
        await connection.close()
        await database.close()
