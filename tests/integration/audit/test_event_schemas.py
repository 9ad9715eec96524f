"""Schemas that platforms registered, where their events come from the bus: the order of the queue decides which holds."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from libs.common.broker.transport import Message
from libs.common.database.engine import driver
from libs.common.events.all_types import CATALOG
from libs.common.events.catalog import new_event
from libs.common.events.envelope import BATCH, Event, decode_message, encode
from libs.common.events.event_types import EventTypeDeleted, EventTypeRegistered
from libs.common.events.quarantine import ReplayQuarantined
from libs.common.ids import new_id
from services.audit.app import SPEAKS_AS
from services.audit.commands import quarantine as commands
from services.audit.commands.event_schemas import learn_schemas
from services.audit.commands.quarantine import QuarantineCommands
from services.audit.handlers import Recorder
from services.audit.store import event_schemas
from tests.integration.audit.archive import ADMIN, Archive, Built, arrived, message_of, platform_event
from tests.support.eventually import eventually

ORDER = "com.shop.order.v1"
STRICT = {
    "type": "object",
    "properties": {"lines": {"type": "array", "items": {"type": "object", "required": ["sku"]}}},
}
LAX = {"type": "object"}


@pytest.fixture
async def shop(archive: Archive) -> None:
    """The shop, whose broker user may send its own types."""
    async with archive.database.transaction() as session:
        await driver(session).execute(
            "INSERT INTO senders (client_id, source, event_types) VALUES ('shop', '/platform/shop', '{com.shop.*}')"
        )


@pytest.fixture
async def consuming(shop: None, built: Built) -> AsyncIterator[Built]:
    """The service's consumer of events, running."""
    task = asyncio.ensure_future(built.service.tasks[0]())
    yield built
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def registered(revision: int, schema: dict[str, Any], *, version: int | None = None, name: str = ORDER) -> Message:
    """What the gateway says when a type gets a schema."""
    data = EventTypeRegistered(
        event_type=name, version=version or revision, revision=revision, source="/platform/shop", description="",
        json_schema=schema, example={}, narrows=[], changes={},
    )  # fmt: skip
    return _of_gateway(new_event(data, subject=f"event_type/{name}"), revision)


def deleted(revision: int, *, name: str = ORDER) -> Message:
    """What the gateway says when a type loses its schema."""
    data = EventTypeDeleted(event_type=name, version=revision - 1, revision=revision, changes={})
    return _of_gateway(new_event(data, subject=f"event_type/{name}"), revision)


def _of_gateway(event: Event, number: int) -> Message:
    return message_of(event.numbered(number))


def order(*lines: dict[str, Any], kind: str = ORDER) -> Event:
    """An order, as the shop says it."""
    return platform_event(kind, data={"lines": list(lines)})


def on_the_bus(event: Event) -> Message:
    """As the shop's own broker user sends it."""
    return message_of(event, app_id="", sender="shop")


async def send(built: Built, *messages: Message) -> None:
    """Have these in the queue in this order, and wait until all are settled."""
    await asyncio.gather(*[built.transport.send(message) for message in messages])


async def entries(archive: Archive) -> set[str]:
    return {row["event_id"] for row in await archive.rows("SELECT event_id FROM entries")}


async def quarantined(archive: Archive) -> list[dict[str, Any]]:
    """What waits, oldest first."""
    found: list[dict[str, Any]] = (await archive.body("/quarantine"))["quarantine"]
    return found[::-1]


async def replay(archive: Archive, quarantine_id: str, *, catalogue_revision: int = 0) -> Event:
    """Apply the command as its consumer does; the outcome event."""
    asked = ReplayQuarantined(quarantine_id=quarantine_id, catalogue_revision=catalogue_revision)
    command = new_event(asked, subject=None, actor_id=ADMIN, actor_type="admin")
    handlers = QuarantineCommands(Recorder().record_events, CATALOG, speaks_as=SPEAKS_AS).handlers()
    async with archive.database.transaction() as session:
        [outcome] = await handlers[ReplayQuarantined.TYPE](session, [command])
    return outcome


async def test_what_breaks_its_schema_is_quarantined_with_place_and_version(consuming: Built, archive: Archive) -> None:
    good, bad = order({"sku": "a"}), order({"sku": "a"}, {"price": 3})
    await send(consuming, registered(7, STRICT, version=2), on_the_bus(good), on_the_bus(bad))
    [kept] = await quarantined(archive)
    assert (kept["event_type"], kept["reason"], kept["source"], kept["sender"]) == (
        ORDER, "invalid_event", "/platform/shop", "shop",
    )  # fmt: skip
    assert kept["message"] == f"/lines/1 breaks required: sku is missing (version 2 of {ORDER})"
    assert good.id in await entries(archive)
    assert bad.id not in await entries(archive)


async def test_the_order_of_the_queue_decides_which_schema_holds(shop: None, built: Built, archive: Archive) -> None:
    """All of it is one batch, and so would be judged before any of it is applied."""
    orders = [order({"n": n}) for n in range(4)]
    messages = [
        on_the_bus(orders[0]), registered(1, STRICT), on_the_bus(orders[1]), registered(2, LAX), on_the_bus(orders[2]),
        registered(3, STRICT), deleted(4), on_the_bus(orders[3]),
    ]  # fmt: skip
    sending = [asyncio.ensure_future(built.transport.send(message)) for message in messages]
    await eventually(lambda: archive_depth(built, len(messages)))
    consumer = asyncio.ensure_future(built.service.tasks[0]())
    await asyncio.gather(*sending)
    consumer.cancel()
    await asyncio.gather(consumer, return_exceptions=True)
    assert [(await archive.body(f"/quarantine/{one['id']}"))["event"]["id"] for one in await quarantined(archive)] == [
        orders[1].id
    ]
    assert {orders[0].id, orders[2].id, orders[3].id} <= await entries(archive)


async def archive_depth(built: Built, count: int) -> bool:
    return await built.transport.depth("audit.events") == count


async def test_what_the_gateway_hands_on_is_not_judged_again(consuming: Built, archive: Archive) -> None:
    event = order({"price": 3})._replace(producerseq=2)
    await send(consuming, registered(1, STRICT), message_of(event))
    assert event.id in await entries(archive)
    assert await quarantined(archive) == []


async def test_a_batch_of_a_platform_is_judged_event_by_event(consuming: Built, archive: Archive) -> None:
    events = [order({"sku": "a"}), order({}), order({"sku": "b"})]
    body = b"[" + b",".join(map(encode, events)) + b"]"
    packed = on_the_bus(events[0])._replace(body=body, content_type=BATCH)
    await send(consuming, registered(1, STRICT), packed)
    assert {events[0].id, events[2].id} <= await entries(archive)
    [kept] = await quarantined(archive)
    assert (await archive.body(f"/quarantine/{kept['id']}"))["event"]["id"] == events[1].id


async def test_once_the_schema_is_mended_a_replay_takes_it_in_once(consuming: Built, archive: Archive) -> None:
    bad = order({"price": 3})
    await send(consuming, registered(1, STRICT), on_the_bus(bad))
    [kept] = await quarantined(archive)
    refused = await replay(archive, kept["id"])
    assert refused.data["error"]["error"] == "does_not_fit"
    assert f"/lines/0 breaks required: sku is missing (version 1 of {ORDER})" in refused.data["error"]["message"]
    await send(consuming, registered(2, LAX))
    for _ in range(2):
        assert (await replay(archive, kept["id"], catalogue_revision=2)).data["status"] == 200
    assert await archive.value("SELECT count(*) FROM entries WHERE event_id = $1", bad.id) == 1
    assert (await archive.body(f"/quarantine/{kept['id']}"))["state"] == "replayed"


async def test_a_replay_waits_for_the_change_that_its_asker_knows(consuming: Built, archive: Archive) -> None:
    await send(consuming, registered(1, STRICT), on_the_bus(order({"price": 3})))
    [kept] = await quarantined(archive)
    replaying = asyncio.ensure_future(replay(archive, kept["id"], catalogue_revision=2))
    await asyncio.sleep(3 * commands.LOOK_SECONDS)
    assert not replaying.done()
    await send(consuming, registered(2, LAX))
    assert (await replaying).data["status"] == 200


async def test_a_replay_does_not_wait_for_ever(consuming: Built, archive: Archive) -> None:
    await send(consuming, registered(1, STRICT), on_the_bus(order({"price": 3})))
    [kept] = await quarantined(archive)
    outcome = await replay(archive, kept["id"], catalogue_revision=99)
    assert outcome.data["error"]["error"] == "does_not_fit"


async def test_a_repetition_after_the_schema_changed_is_not_judged_anew(consuming: Built, archive: Archive) -> None:
    """What is an entry stays one and what is quarantined stays so, whatever holds when it comes again."""
    taken, refused = order({"price": 3}), order({"price": 4})
    await send(consuming, on_the_bus(taken), registered(1, STRICT), on_the_bus(refused), on_the_bus(taken))
    assert [one["sightings"] for one in await quarantined(archive)] == [1]
    await send(consuming, registered(2, LAX), on_the_bus(refused))
    assert refused.id not in await entries(archive)
    assert await archive.value("SELECT count(*) FROM entries WHERE event_id = $1", taken.id) == 1
    assert len(await quarantined(archive)) == 1


async def test_older_news_of_a_type_change_nothing(archive: Archive) -> None:
    for message in (registered(5, STRICT), registered(4, LAX), deleted(3)):
        async with archive.database.transaction() as session:
            [event] = _events(message)
            await learn_schemas(session, [arrived(event)])
    found = await archive.rows("SELECT version, revision, json_schema IS NULL AS gone FROM event_schemas")
    assert [dict(row) for row in found] == [{"version": 5, "revision": 5, "gone": False}]


def _events(message: Message) -> list[Event]:
    return decode_message(message.content_type, message.headers, message.body, trusted=True)


async def test_nobody_else_says_what_is_registered(consuming: Built, archive: Archive) -> None:
    forged = new_event(
        EventTypeDeleted(event_type=ORDER, version=1, revision=9, changes={}), subject=None, source="/platform/shop"
    )
    await send(consuming, registered(1, STRICT), on_the_bus(forged), message_of(forged._replace(producerseq=2)))
    assert await archive.value("SELECT revision FROM event_schemas") == 1


async def test_what_another_process_learned_holds_within_about_a_second(consuming: Built, archive: Archive) -> None:
    await send(consuming, on_the_bus(order({})))
    async with archive.database.transaction() as session:
        [event] = _events(registered(1, STRICT))
        await learn_schemas(session, [arrived(event)])

    async def is_judged() -> bool:
        await send(consuming, on_the_bus(order({})))
        return bool(await quarantined(archive))

    await eventually(is_judged, within_seconds=3)


async def test_a_service_that_starts_judges_by_what_it_learned_before(
    shop: None, built: Built, archive: Archive
) -> None:
    async with archive.database.transaction() as session:
        [event] = _events(registered(1, STRICT))
        await learn_schemas(session, [arrived(event)])
    sending = asyncio.ensure_future(built.transport.send(on_the_bus(order({"id": new_id()}))))
    consumer = asyncio.ensure_future(built.service.tasks[0]())
    await sending
    consumer.cancel()
    await asyncio.gather(consumer, return_exceptions=True)
    assert len(await quarantined(archive)) == 1


async def test_deleted_types_are_remembered_up_to_a_bound(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_schemas, "MOST_DELETED", 2)
    for number in range(1, 6):
        async with archive.database.transaction() as session:
            [event] = _events(deleted(number, name=f"com.shop.t{number}.v1"))
            await learn_schemas(session, [arrived(event)])
    found = await archive.rows("SELECT event_type FROM event_schemas ORDER BY 1")
    assert [row["event_type"] for row in found] == ["com.shop.t4.v1", "com.shop.t5.v1"]
