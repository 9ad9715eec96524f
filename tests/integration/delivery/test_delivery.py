"""Relay and subscriber together, on a real Postgres: at least once on the way, exactly once in effect, in order."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import asyncpg
import pytest
from sqlalchemy import text

from libs.common import telemetry
from libs.common.broker.embedded import EmbeddedTransport
from libs.common.broker.topology import AUDIT_EVENTS, SETTINGS_COMMANDS, Queue
from libs.common.broker.transport import Message, Unconfirmed
from libs.common.database import outbox
from libs.common.database.engine import Database, Session
from libs.common.delivery.arrivals import Arrived, Refused
from libs.common.delivery.relay import Relay
from libs.common.delivery.senders import RegisteredClient
from libs.common.delivery.subscriber import Subscriber
from libs.common.errors import Unavailable
from libs.common.events.all_types import CATALOG
from libs.common.events.envelope import STRUCTURED, Event, encode
from tests.integration.web.test_traces import collector
from tests.support.eventually import eventually
from tests.support.makers import an_event
from tests.support.postgres import PlatformDatabase
from tests.support.vouching import VouchingTransport

OpenDatabase = Callable[..., Awaitable[Database]]
QUEUE = replace(AUDIT_EVENTS, name="test.events")


class Ledger:
    """What a handler was given, as it saw it in transactions that committed."""

    def __init__(self) -> None:
        self.seen: list[Event] = []
        self.fail: Callable[[Event], BaseException | None] = lambda event: None

    async def handle(self, session: Session, arrived: Sequence[Arrived]) -> None:
        for one in arrived:
            if error := self.fail(one.event):
                raise error
        self.seen += [one.event for one in arrived]


@asynccontextmanager
async def running(*tasks: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    started = [asyncio.ensure_future(task()) for task in tasks]
    try:
        yield
    finally:
        for task in started:
            task.cancel()
        await asyncio.gather(*started, return_exceptions=True)


@pytest.fixture
async def database(database_for: OpenDatabase) -> Database:
    return await database_for("gateway")


async def write(database: Database, *events: Event) -> None:
    async with database.transaction() as session:
        await outbox.emit(session, *events)


async def waiting(database: Database) -> int:
    async with database.reading() as session:
        return (await outbox.backlog(session)).count


def a_subscriber(database: Database, transport: Any, ledger: Ledger, **given: Any) -> Subscriber:
    return Subscriber(database, transport, QUEUE, handle=ledger.handle, catalog=CATALOG, **given)


async def test_what_committed_arrives_once_and_leaves_the_outbox(database: Database) -> None:
    transport, ledger = EmbeddedTransport(queues=[QUEUE]), Ledger()
    events = [an_event(subject=f"thing/{n % 7}") for n in range(300)]
    async with running(
        a_subscriber(database, transport, ledger).run, Relay(database, transport, producer="gateway").run
    ):
        await asyncio.gather(*[write(database, *events[n : n + 10]) for n in range(0, 300, 10)])
        await eventually(lambda: len(ledger.seen) == 300)
        assert {event.id for event in ledger.seen} == {event.id for event in events}
        assert sorted(event.producerseq or 0 for event in ledger.seen) == list(range(1, 301))
        await eventually(lambda: waiting_is(database, 0))


async def waiting_is(database: Database, count: int) -> bool:
    return await waiting(database) == count


async def test_a_rolled_back_event_never_leaves(database: Database) -> None:
    transport, ledger = EmbeddedTransport(queues=[QUEUE]), Ledger()
    async with running(
        a_subscriber(database, transport, ledger).run, Relay(database, transport, producer="gateway").run
    ):
        with pytest.raises(RuntimeError):
            await _write_and_regret(database)
        kept = an_event()
        await write(database, kept)
        await eventually(lambda: ledger.seen)
        assert [event.id for event in ledger.seen] == [kept.id]
        assert ledger.seen[0].producerseq == 1


async def _write_and_regret(database: Database) -> None:
    async with database.transaction() as session:
        await outbox.emit(session, an_event())
        raise RuntimeError("changed my mind")


async def test_one_subject_keeps_its_commit_order_through_failing_publishes(database: Database) -> None:
    class Flaky(EmbeddedTransport):
        published = 0

        async def publish(self, message: Message) -> None:
            Flaky.published += 1
            if Flaky.published % 3 == 0:
                raise Unconfirmed("lost the connection")
            await super().publish(message)

    transport, ledger = Flaky(queues=[QUEUE]), Ledger()
    async with running(
        a_subscriber(database, transport, ledger).run, Relay(database, transport, producer="gateway").run
    ):
        for n in range(60):
            await write(
                database,
                an_event(subject=f"setting/{n % 2}", type=f"com.a.{n % 3}", source="/platform/shop", data={"n": n}),
            )
        await eventually(lambda: len(ledger.seen) == 60, within_seconds=60)
    for key in ("setting/0", "setting/1"):
        numbers = [event.data["n"] for event in ledger.seen if event.subject == key]
        assert numbers == sorted(numbers)


async def test_a_second_delivery_changes_nothing(database: Database) -> None:
    transport, ledger = EmbeddedTransport(queues=[QUEUE]), Ledger()
    event = an_event().numbered(1)
    message = a_message(event, app_id="gateway")
    async with running(a_subscriber(database, transport, ledger).run):
        for _ in range(5):
            await transport.publish(message)
        assert [one.id for one in ledger.seen] == [event.id]


async def test_a_transient_fault_is_retried_and_keeps_its_place(database: Database) -> None:
    transport, ledger = EmbeddedTransport(queues=[QUEUE]), Ledger()
    failures = iter([Unavailable("gone")] * 3)
    ledger.fail = lambda event: next(failures, None)
    async with running(
        a_subscriber(database, transport, ledger).run, Relay(database, transport, producer="gateway").run
    ):
        events = [an_event(subject="user/1") for _ in range(5)]
        await write(database, *events)
        await eventually(lambda: len(ledger.seen) == 5)
    assert [event.id for event in ledger.seen] == [event.id for event in events]


@pytest.mark.parametrize(
    ("error", "reason"), [(Refused("not_for_us"), "not_for_us"), (ValueError("bad"), "failed 5 times: ValueError")]
)
async def test_a_poisonous_event_is_parked_alone_with_its_reason(
    database: Database, error: Exception, reason: str
) -> None:
    transport, ledger = EmbeddedTransport(queues=[QUEUE]), Ledger()
    events = [an_event(subject=f"user/{n}") for n in range(20)]
    ledger.fail = lambda event: error if event.id == events[7].id else None
    async with running(
        a_subscriber(database, transport, ledger).run, Relay(database, transport, producer="gateway").run
    ):
        await write(database, *events)
        await eventually(lambda: len(ledger.seen) == 19)
        await eventually(lambda: letters_are(database, [reason]))
        assert await transport.depth(QUEUE.dead) == 1
        await eventually(lambda: waiting_is(database, 0))


async def test_letters_whose_copy_the_broker_refuses_are_kept_once(database: Database) -> None:
    class Refusing(EmbeddedTransport):
        async def dead_letter(self, queue: Queue, message: Message, *, reason: str) -> None:
            raise Unconfirmed("no confirm")

    transport, ledger = Refusing(queues=[QUEUE]), Ledger()
    told: list[Event] = []

    async def after(arrived: Sequence[Arrived]) -> None:
        told.extend(one.event for one in arrived)

    good = an_event().numbered(1)
    async with running(a_subscriber(database, transport, ledger, after=after).run):
        await transport.publish(a_message(good, body=b"{"))
        await transport.publish(a_message(good, app_id="gateway"))
    assert [found.partition(":")[0] for found in await letters(database)] == ["malformed"]
    assert [event.id for event in ledger.seen] == [event.id for event in told] == [good.id]


async def test_a_command_passes_the_events_that_wait_for_company(database: Database) -> None:
    commands = replace(SETTINGS_COMMANDS, name="test.commands", bindings=("test.commands",))
    transport = EmbeddedTransport(queues=[QUEUE, commands])
    order: list[str] = []

    async def drain(queue: Queue) -> None:
        async with transport.subscribe(queue) as subscription:
            while True:
                found = await subscription.receive(50)
                order.extend([queue.name] * len(found))
                await subscription.settle(found)

    relay = Relay(database, transport, producer="gateway", pace_seconds=0.5)
    async with running(relay.run, lambda: drain(QUEUE), lambda: drain(commands)):
        await write(database, an_event())
        await eventually(lambda: order == [QUEUE.name])
        await write(database, an_event())
        command = an_event(type="reeve.command.setting.change.v1", subject="setting/a")
        async with database.transaction() as session:
            await outbox.append(session, [outbox.command_row(command, queue=commands, reply_to=None)])
        await eventually(lambda: order == [QUEUE.name, commands.name, QUEUE.name])


async def letters(database: Database) -> list[str]:
    async with database.reading() as session:
        return list((await session.execute(text("SELECT reason FROM dead_letters ORDER BY received_at"))).scalars())


async def letters_are(database: Database, reasons: list[str]) -> bool:
    return await letters(database) == reasons


def a_message(event: Event, **given: Any) -> Message:
    made: dict[str, Any] = {
        "body": encode(event), "content_type": STRUCTURED, "exchange": "reeve.events", "routing_key": event.type,
        "message_id": event.id, "type": event.type,
    }  # fmt: skip
    return Message(**{**made, **given})


SHOP = RegisteredClient("shop", "/platform/shop", ("com.shop.*", "platform.*"))


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (a_message(an_event(source="/platform/shop", type="com.shop.sold"), sender="thief"), "sender_not_registered"),
        (a_message(an_event(source="/platform/bank", type="com.shop.sold"), sender="shop"), "source_not_allowed"),
        (a_message(an_event(source="/platform/shop", type="com.bank.paid"), sender="shop"), "event_type_not_allowed"),
        (a_message(an_event(source="/reeve/gateway"), sender="shop", app_id="gateway"), "source_not_allowed"),
        (
            a_message(an_event(source="/platform/shop", type="platform.unheard.of.v1"), sender="shop"),
            "unknown_event_type",
        ),
        (a_message(an_event(type="reeve.unheard.of.v1").numbered(1), app_id="gateway"), "unknown_event_type"),
        (a_message(an_event(), body=b"{", sender="shop"), "malformed"),
        (a_message(an_event(), body=b'{"specversion":"1.0","id":"1"}', sender="shop"), "malformed"),
        (
            a_message(an_event(source="/platform/shop", type="com.shop.x", data={"t": "x" * 300_000}), sender="shop"),
            "too_large",
        ),
        (a_message(an_event(), body=b"[" * 200_000, sender="shop"), "malformed"),
    ],
)
async def test_what_may_not_come_in_is_parked_with_its_reason(
    database: Database, message: Message, reason: str
) -> None:
    transport, ledger = VouchingTransport(queues=[QUEUE]), Ledger()
    good = an_event(source="/platform/shop", type="com.shop.sold.v1", data={"total": 1})
    async with running(a_subscriber(database, transport, ledger, clients=[SHOP]).run):
        await transport.send(message)
        await transport.send(a_message(good, sender="shop"))
        await transport.send(a_message(good, sender="shop"))
    assert [event.id for event in ledger.seen] == [good.id]
    assert [found.partition(":")[0] for found in await letters(database)] == [reason]


async def test_an_event_that_cannot_even_be_remembered_harms_nobody(
    platform_db: Callable[..., Awaitable[PlatformDatabase]],
) -> None:
    platform = await platform_db("gateway")
    admin = await asyncpg.connect(platform.admin_url)
    await admin.execute("ALTER TABLE gateway.dead_letters ADD CONSTRAINT no_letters CHECK (false)")
    await admin.close()
    database = platform.database("gateway")
    transport, ledger = EmbeddedTransport(queues=[QUEUE]), Ledger()
    ledger.fail = lambda event: ValueError("bad") if event.type == "com.a.bad" else None
    good = an_event(subject="user/1")
    bad = an_event(type="com.a.bad", source="/platform/shop")
    async with running(a_subscriber(database, transport, ledger).run):
        await transport.publish(a_message(bad.numbered(1), app_id="gateway"))
        await transport.publish(a_message(good.numbered(2), app_id="gateway"))
    await database.close()
    assert [event.id for event in ledger.seen] == [good.id]
    assert await transport.depth(QUEUE.dead) == 1


async def test_a_client_is_known_from_its_registration_on(database: Database) -> None:
    transport, ledger = VouchingTransport(queues=[QUEUE]), Ledger()
    registered = an_event(
        type="reeve.client.registered.v1", subject="client/shop",
        data={"client_id": "shop", "name": "Shop", "source": "/platform/shop", "event_types": ["com.shop.*"], "scopes": []},
    )  # fmt: skip
    async with running(a_subscriber(database, transport, ledger).run):
        await transport.send(a_message(registered.numbered(1), app_id="gateway"))
        await transport.send(a_message(an_event(source="/platform/shop", type="com.shop.sold"), sender="shop"))
    assert [event.type for event in ledger.seen] == ["reeve.client.registered.v1", "com.shop.sold"]


async def test_a_sampled_trace_goes_through_the_broker(database: Database) -> None:
    transport, ledger = EmbeddedTransport(queues=[QUEUE]), Ledger()
    sampled = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    with collector() as (address, received):
        telemetry.configure("audit", endpoint=address)
        async with running(
            a_subscriber(database, transport, ledger).run, Relay(database, transport, producer="gateway").run
        ):
            await write(database, an_event(traceparent=sampled), an_event(traceparent=f"{sampled[:-1]}0"))
            await eventually(lambda: len(ledger.seen) == 2)
        await asyncio.to_thread(telemetry.shutdown)
    spans = [span for _, request in received for scope in request.resource_spans[0].scope_spans for span in scope.spans]
    assert [(span.name, span.parent_span_id.hex()) for span in spans] == [
        ("test.events reeve.request.recorded.v1", "00f067aa0ba902b7")
    ]
