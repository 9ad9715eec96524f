"""A dead letter takes effect after the mend, once, or stays as it was: on a real Postgres."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from libs.common.broker.embedded import EmbeddedTransport
from libs.common.broker.topology import AUDIT_EVENTS, SETTINGS_COMMANDS
from libs.common.database import dead_letters
from libs.common.database.engine import Database, Session
from libs.common.database.kept_letters import Wanted
from libs.common.delivery.arrivals import Arrived, Parked, Refused, letter_of
from libs.common.delivery.commands import CommandConsumer, one_by_one
from libs.common.delivery.intake import Intake
from libs.common.delivery.replays import Replays, Tried
from libs.common.delivery.senders import RegisteredClient
from libs.common.errors import Conflict
from libs.common.events.all_types import CATALOG
from libs.common.events.catalog import new_event
from libs.common.events.dead_letters import DeadLetterReplayed
from libs.common.events.envelope import Event
from libs.common.events.requests import OperationRejected
from tests.integration.delivery.test_delivery import SHOP, Ledger, a_message, a_subscriber, letters, running
from tests.support.eventually import eventually
from tests.support.makers import an_event
from tests.support.vouching import VouchingTransport

OpenDatabase = Callable[..., Awaitable[Database]]
QUEUE = replace(AUDIT_EVENTS, name="test.events")
COMMAND_QUEUE = replace(SETTINGS_COMMANDS, name="test.commands", bindings=("test.commands",))
EVERY = Wanted([QUEUE.name, COMMAND_QUEUE.name])


@pytest.fixture
async def database(database_for: OpenDatabase) -> Database:
    return await database_for("settings")


async def park(database: Database, *events: Event, error: Exception | None = None, sender: str | None = None) -> None:
    """Have a subscriber make dead letters of events that its handler cannot apply."""
    transport, ledger = VouchingTransport(queues=[QUEUE]), Ledger()
    ledger.fail = lambda event: error or Refused("not_yet")
    before = len(await letters(database))
    async with running(a_subscriber(database, transport, ledger, clients=[SHOP]).run):
        for event in events:
            app_id = "" if sender else "gateway"
            await transport.send(a_message(event, app_id=app_id, sender=sender))
    assert len(await letters(database)) == before + len(events)


async def replay(
    database: Database, ledger: Any, wanted: Wanted = EVERY, *, most: int = 100, dry_run: bool = False, **given: Any
) -> list[Tried]:
    intake = Intake(QUEUE, ledger.handle, CATALOG, **given)
    replays = Replays(database, [intake], source="/reeve/settings")
    return [one async for one in replays.replay(wanted, most=most, dry_run=dry_run)]


async def told(database: Database) -> list[str]:
    """The types of what waits in the outbox."""
    async with database.reading() as session:
        return list((await session.execute(text("SELECT type FROM outbox ORDER BY position"))).scalars())


async def snapshot(database: Database) -> list[str]:
    """Everything that a replay might write."""
    async with database.reading() as session:
        found: list[str] = []
        for table in ("dead_letters", "outbox", "inbox", "inbox_seen", "inbox_foreign", "senders"):
            rows = (await session.execute(text(f"SELECT t::text FROM {table} AS t ORDER BY 1"))).scalars()
            found += [f"{table} {row}" for row in rows]
        return found


async def test_letters_take_effect_after_the_mend_oldest_first_and_are_told_of(database: Database) -> None:
    events = [an_event().numbered(number) for number in (1, 2, 3)]
    await park(database, *events)
    ledger, after = Ledger(), Ledger()

    async def announce(arrived: Sequence[Arrived]) -> None:
        after.seen += [one.event for one in arrived]

    tried = await replay(database, ledger, after=announce)
    assert [one.why for one in tried] == [None, None, None]
    assert ledger.seen == after.seen == events
    assert await letters(database) == []
    assert await told(database) == [DeadLetterReplayed.TYPE] * 3
    assert await replay(database, ledger) == []


async def test_what_came_in_by_a_replay_comes_in_once_though_it_is_sent_again(database: Database) -> None:
    events = [an_event().numbered(1), an_event(source="/platform/shop", type="com.shop.sold")]
    await park(database, events[0])
    await park(database, events[1], sender="shop")
    ledger, transport = Ledger(), VouchingTransport(queues=[QUEUE])
    await replay(database, ledger)
    async with running(a_subscriber(database, transport, ledger).run):
        await transport.send(a_message(events[0], app_id="gateway"))
        await transport.send(a_message(events[1], sender="shop"))
    assert ledger.seen == events


async def test_what_could_not_even_be_read_then_is_known_from_its_replay_on(database: Database) -> None:
    event = an_event().numbered(1)
    message = a_message(event, app_id="gateway")
    async with database.transaction() as session:
        await dead_letters.append(session, [letter_of(QUEUE, Parked(message, "malformed: by an older release", None))])
    ledger, transport = Ledger(), EmbeddedTransport(queues=[QUEUE])
    await replay(database, ledger)
    async with running(a_subscriber(database, transport, ledger).run):
        await transport.publish(message)
    assert ledger.seen == [event]


async def test_several_replays_at_once_apply_each_letter_once(database: Database) -> None:
    events = [an_event().numbered(number) for number in range(1, 21)]
    await park(database, *events)
    ledger = Ledger()

    class Slow:
        async def handle(self, session: Session, arrived: Sequence[Arrived]) -> None:
            await session.execute(text("SELECT pg_sleep(0.01)"))
            await ledger.handle(session, arrived)

    done = await asyncio.gather(*(replay(database, Slow()) for _ in range(3)))
    assert sorted(event.producerseq or 0 for event in ledger.seen) == list(range(1, 21))
    assert sum(len(one) for one in done) == 20
    assert await letters(database) == []
    assert len(await told(database)) == 20


@pytest.mark.parametrize("error", [ValueError("secret words"), Refused("never")])
async def test_a_letter_that_still_fails_stays_and_nothing_is_changed(database: Database, error: Exception) -> None:
    events = [an_event().numbered(number) for number in (1, 2, 3)]
    await park(database, *events)
    before = await snapshot(database)
    ledger = Ledger()

    class Writing:
        async def handle(self, session: Session, arrived: Sequence[Arrived]) -> None:
            await session.execute(text("INSERT INTO senders VALUES ('x', '/x', '{}')"))
            raise error

    tried = await replay(database, Writing())
    assert [one.why for one in tried] == ["failed again: ValueError" if isinstance(error, ValueError) else "never"] * 3
    assert await snapshot(database) == before
    ledger.fail = lambda event: error if event.producerseq == 1 else None
    assert [one.why is None for one in await replay(database, ledger)] == [False, True, True]
    assert ledger.seen == events[1:]


async def test_a_dry_run_says_what_would_happen_and_changes_nothing(database: Database) -> None:
    await park(database, *[an_event().numbered(number) for number in (1, 2)])
    before, after = await snapshot(database), Ledger()
    ledger = Ledger()
    ledger.fail = lambda event: Refused("never") if event.producerseq == 2 else None

    async def announce(arrived: Sequence[Arrived]) -> None:
        after.seen += [one.event for one in arrived]

    tried = await replay(database, ledger, dry_run=True, after=announce)
    assert [one.why for one in tried] == [None, "never"]
    assert await snapshot(database) == before
    assert after.seen == []


async def test_a_sender_that_is_registered_by_now_is_let_in(database: Database) -> None:
    transport, ledger = VouchingTransport(queues=[QUEUE]), Ledger()
    event = an_event(source="/platform/late", type="com.late.sold")
    async with running(a_subscriber(database, transport, ledger).run):
        await transport.send(a_message(event, sender="late"))
    [tried] = await replay(database, ledger)
    assert (tried.why or "").startswith("sender_not_registered")
    late = RegisteredClient("late", "/platform/late", ("com.late.*",))
    async with running(a_subscriber(database, transport, ledger, clients=[late]).run):
        await transport.send(a_message(an_event(), app_id="gateway", sender="reeve_gateway"))
    [tried] = await replay(database, ledger)
    assert tried.why is None
    assert ledger.seen[-1] == event


async def test_nobody_is_believed_more_than_when_the_message_came(database: Database) -> None:
    """A platform that calls itself the gateway, in the message or in a header, stays the platform that it is."""
    transport, ledger = VouchingTransport(queues=[QUEUE]), Ledger()
    forged = a_message(an_event(), app_id="gateway", sender="shop")
    async with running(a_subscriber(database, transport, ledger, clients=[SHOP]).run):
        await transport.publish(forged._replace(headers={"vouched": "shop", "x-reeve-producer": "gateway"}))
    [tried] = await replay(database, ledger)
    assert (tried.why or "").startswith("source_not_allowed")
    assert ledger.seen == []


async def test_one_may_ask_for_a_queue_a_reason_an_id_and_a_number(database: Database) -> None:
    await park(database, an_event().numbered(1), an_event().numbered(2))
    await park(database, an_event().numbered(3), error=Refused("other: words"))
    ledger = Ledger()
    assert await replay(database, ledger, Wanted(["another.queue"])) == []
    assert [
        one.letter.reason for one in await replay(database, ledger, replace(EVERY, reason="oth"), dry_run=True)
    ] == ["other: words"]
    assert len(await replay(database, ledger, most=1, dry_run=True)) == 1
    async with database.reading() as session:
        last = (
            await session.execute(text("SELECT id FROM dead_letters ORDER BY received_at DESC LIMIT 1"))
        ).scalar_one()
    named = Ledger()
    [tried] = await replay(database, named, replace(EVERY, id=UUID(str(last))))
    assert (tried.why, [event.producerseq for event in named.seen]) == (None, [3])


async def test_the_summary_names_no_word_of_a_message_but_its_type(database: Database) -> None:
    await park(database, an_event().numbered(1), an_event().numbered(2), error=Refused("other: of somebody"))
    await park(database, an_event().numbered(3), error=ValueError("of somebody"))
    intake = Intake(QUEUE, Ledger().handle, CATALOG)
    found = await Replays(database, [intake], source="/reeve/settings").summarize()
    assert [(one.queue, one.reason, one.type, one.count) for one in found] == [
        (QUEUE.name, "other", "reeve.request.recorded.v1", 2),
        (QUEUE.name, "failed 5 times: ValueError", "reeve.request.recorded.v1", 1),
    ]
    assert found[0].first_at < found[0].last_at < found[1].first_at


async def test_who_may_send_is_not_learned_from_a_letter(database: Database) -> None:
    data = {"client_id": "shop", "name": "Shop", "source": "/platform/old", "event_types": ["com.*"], "scopes": []}
    await park(database, an_event(type="reeve.client.registered.v1", data=data).numbered(1))
    ledger = Ledger()
    [tried] = await replay(database, ledger)
    async with database.reading() as session:
        sources = list((await session.execute(text("SELECT source FROM senders"))).scalars())
    assert (tried.why, len(ledger.seen), sources) == (None, 1, ["/platform/shop"])


def a_command() -> Event:
    return an_event(type="reeve.command.setting.change.v1", data={"action": "change_setting"}, subject="setting/a")


def a_consumer(database: Database, error: Exception | None, applied: list[str]) -> CommandConsumer:
    async def apply(session: Session, command: Event) -> Event:
        if error is not None:
            raise error
        applied.append(command.id)
        rejected = OperationRejected(operation_id=command.id, action="x", status=409, error={}, origin=None)
        return new_event(rejected, subject=None, source="/reeve/settings", causation_id=command.id)

    return CommandConsumer(
        database, EmbeddedTransport(queues=[COMMAND_QUEUE]), COMMAND_QUEUE, source="/reeve/settings",
        handlers={"reeve.command.setting.change.v1": one_by_one(apply)}, catalog=CATALOG,
    )  # fmt: skip


async def test_a_command_is_applied_only_by_its_id_and_is_refused_by_its_own_guards(database: Database) -> None:
    command = a_command()
    message = a_message(command, app_id="gateway", sender="reeve_gateway")
    letter = letter_of(COMMAND_QUEUE, Parked(message, "failed 5 times: ValueError", None))
    async with database.transaction() as session:
        await dead_letters.append(session, [letter])
    applied: list[str] = []

    async def tried(consumer: CommandConsumer, wanted: Wanted) -> str | None:
        replays = Replays(database, [consumer.subscriber.intake], source="/reeve/settings")
        [one] = [one async for one in replays.replay(wanted, most=5)]
        return one.why

    named = replace(EVERY, id=UUID(letter.id))
    assert "--id" in (await tried(a_consumer(database, None, applied), EVERY) or "")
    newer = Conflict("changed since", code="version_conflict")
    assert await tried(a_consumer(database, newer, applied), named) == "refused: version_conflict"
    assert await told(database) == []
    assert await tried(a_consumer(database, None, applied), named) is None
    assert applied == [command.id]
    assert await told(database) == [OperationRejected.TYPE, DeadLetterReplayed.TYPE]


async def test_a_running_subscriber_and_a_replay_do_not_stand_in_each_others_way(database: Database) -> None:
    parked = [an_event().numbered(number) for number in range(1, 31)]
    await park(database, *parked)
    transport, ledger = EmbeddedTransport(queues=[QUEUE]), Ledger()
    later = [an_event().numbered(number) for number in range(31, 61)]
    async with running(a_subscriber(database, transport, ledger).run):
        _, tried = await asyncio.gather(
            asyncio.gather(*(transport.publish(a_message(one, app_id="gateway")) for one in later)),
            replay(database, ledger),
        )
        await eventually(lambda: len(ledger.seen) == 60)
    assert all(one.why is None for one in tried)
    assert {event.id for event in ledger.seen} == {event.id for event in (*parked, *later)}
