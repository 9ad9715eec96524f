"""The outbox: numbers without gaps, whatever the writers do, and the same numbers after a crash."""

import asyncio
import random
from collections import defaultdict

import asyncpg
import pytest

from libs.common.broker.topology import EVENTS, NOTIFICATIONS_COMMANDS, SETTINGS_COMMANDS
from libs.common.database import outbox
from libs.common.database.engine import Database, driver
from libs.common.database.outbox import ClaimedRow, command_row, outbox_row
from libs.common.errors import Conflict
from libs.common.events.envelope import decode
from tests.support.eventually import eventually
from tests.support.makers import an_event
from tests.support.postgres import PlatformDatabase

WRITERS = 8
TRANSACTIONS = 40


async def test_numbers_are_gapless_under_writers_that_commit_late_or_not_at_all(database: Database) -> None:
    committed: set[str] = set()
    claimed: list[ClaimedRow] = []
    relay = await database.dedicated()

    async def write(dice: random.Random) -> None:
        for _ in range(TRANSACTIONS):
            rows = [a_row(dice) for _ in range(dice.randint(1, 3))]
            try:
                async with database.transaction() as session:
                    await outbox.append(session, rows)
                    await asyncio.sleep(dice.choice([0, 0, 0.001, 0.02]))
                    if dice.random() < 0.25:
                        raise Conflict("rolled back")
                committed.update(row.event_id for row in rows)
            except Conflict:
                pass

    async def relay_until_done(writers: asyncio.Task[object], dice: random.Random) -> None:
        while not writers.done() or (await outbox.backlog(relay)).count:
            rows = await outbox.claim(relay, dice.randint(1, 20))
            claimed.extend(rows)
            await outbox.forget(relay, [row.position for row in rows])
            await asyncio.sleep(0.001)

    writers: asyncio.Task[object] = asyncio.ensure_future(
        asyncio.gather(*(write(random.Random(seed)) for seed in range(WRITERS)))
    )
    await relay_until_done(writers, random.Random(99))
    await writers
    await relay.close()

    assert [row.event_id for row in claimed if row.event_id not in committed] == []
    assert len(claimed) == len(committed)
    numbers: dict[str, list[int]] = defaultdict(list)
    for row in claimed:
        numbers[row.stream].append(row.producerseq)
    assert set(numbers) == {"events", "settings.commands", "notifications.commands"}
    for stream, given in numbers.items():
        assert given == list(range(1, len(given) + 1)), stream


async def test_a_row_that_becomes_visible_late_is_not_skipped(database: Database) -> None:
    relay = await database.dedicated()
    late, early = outbox_row(an_event()), outbox_row(an_event())
    async with database.transaction() as first:
        await outbox.append(first, [late])
        async with database.transaction() as second:
            await outbox.append(second, [early])
        seen = await outbox.claim(relay)
        assert [(row.event_id, row.producerseq) for row in seen] == [(early.event_id, 1)]
    seen = await outbox.claim(relay)
    assert [(row.event_id, row.producerseq) for row in seen] == [(late.event_id, 2)]
    await relay.close()


async def test_a_crash_between_claim_and_forget_gives_the_same_numbers_again(database: Database) -> None:
    await write_events(database, 5)
    first = await database.dedicated()
    assert await outbox.lead(first, database.schema)
    before = await outbox.claim(first, 3)
    await outbox.forget(first, [before[0].position])
    first.terminate()

    second = await database.dedicated()
    await eventually(lambda: outbox.lead(second, database.schema))
    assert await outbox.unfinished(second, 500, 0) == before[1:]
    rest = await outbox.claim(second)
    assert [row.producerseq for row in rest] == [4, 5]
    assert [row.producerseq for row in await outbox.unfinished(second, 500, before[1].position)] == [3, 4, 5]
    assert [row.producerseq for row in await outbox.unfinished(second, 2, 0)] == [2, 3]
    await second.close()


async def test_numbers_go_on_after_everything_was_forgotten(database: Database) -> None:
    relay = await database.dedicated()
    for expected in (1, 2, 3):
        await write_events(database, 1)
        [row] = await outbox.claim(relay)
        assert row.producerseq == expected
        await outbox.forget(relay, [row.position])
    assert await outbox.claim(relay) == []
    await relay.close()


async def test_commands_are_claimed_past_events_that_wait_and_numbered_apart(database: Database) -> None:
    await write_events(database, 3)
    commands = [an_event(type="reeve.command.setting.change.v1", subject=f"setting/{n}") for n in range(2)]
    async with database.transaction() as session:
        await outbox.append(
            session, [outbox.command_row(one, queue=SETTINGS_COMMANDS, reply_to=None) for one in commands]
        )
    relay = await database.dedicated()
    claimed = await outbox.claim_commands(relay)
    assert [(row.event_id, row.producerseq) for row in claimed] == [(one.id, n) for n, one in enumerate(commands, 1)]
    assert await outbox.claim_commands(relay) == []
    assert [row.producerseq for row in await outbox.claim(relay)] == [1, 2, 3]
    await relay.close()


async def test_only_one_relay_leads_a_schema(database: Database) -> None:
    first, second, other = [await database.dedicated() for _ in range(3)]
    assert await outbox.lead(first, "settings")
    assert not await outbox.lead(second, "settings")
    assert await outbox.lead(other, "audit")
    await first.close()
    await eventually(lambda: outbox.lead(second, "settings"))
    await second.close()
    await other.close()


async def test_even_two_relays_at_once_share_no_row_and_leave_no_gap(database: Database) -> None:
    await write_events(database, 200)
    relays = [await database.dedicated() for _ in range(4)]

    async def drain(relay: asyncpg.Connection) -> list[ClaimedRow]:
        found: list[ClaimedRow] = []
        while rows := await outbox.claim(relay, 7):
            found += rows
        return found

    claimed = [row for rows in await asyncio.gather(*map(drain, relays)) for row in rows]
    leftover = await drain(relays[0])
    numbers = sorted(row.producerseq for row in [*claimed, *leftover])
    assert numbers == list(range(1, 201))
    for relay in relays:
        await relay.close()


async def test_a_plan_made_for_an_empty_outbox_is_right_for_a_full_one(
    platform: PlatformDatabase, database: Database
) -> None:
    relay = await database.dedicated()
    assert await outbox.lead(relay, database.schema)
    admin = await asyncpg.connect(platform.admin_url)
    await admin.execute("VACUUM ANALYZE settings.outbox")
    await admin.close()
    await outbox.claim(relay)
    await outbox.forget(relay, [0])
    await write_events(database, 3000)
    async with relay.transaction():
        rows = await outbox.claim(relay)
        await outbox.forget(relay, [row.position for row in rows])
        scans = await relay.fetchrow("SELECT seq_scan, idx_scan FROM pg_stat_xact_user_tables WHERE relname = 'outbox'")
    assert len(rows) == 500
    assert scans["seq_scan"] == 0
    assert scans["idx_scan"] > 0
    await relay.close()


async def test_only_forgetting_may_be_lost_with_the_machine(database: Database) -> None:
    relay = await database.dedicated()
    await relay.execute("SET synchronous_commit = on")  # what it is but in the databases of tests
    await outbox.lead(relay, database.schema)
    await outbox.forget(relay, [1])
    assert await relay.fetchval("SHOW synchronous_commit") == "on"
    await outbox.claim(relay)
    assert await relay.fetchval("SHOW synchronous_commit") == "on"
    await relay.close()


async def test_a_claim_is_in_the_order_of_writing_and_carries_everything(database: Database) -> None:
    event = an_event(subject="setting/theme", correlationid="request-1")
    command = an_event(type="reeve.command.setting.change.v1", subject="setting/theme")
    async with database.transaction() as session:
        await outbox.emit(session, event)
        await outbox.append(session, [command_row(command, queue=SETTINGS_COMMANDS, reply_to="gateway.replies.1")])
    relay = await database.dedicated()
    first, second = await outbox.claim(relay)
    await relay.close()
    assert (first.exchange, first.routing_key, first.stream) == (EVENTS, event.type, "events")
    assert (first.subject, first.correlation_id, first.reply_to) == ("setting/theme", "request-1", None)
    assert decode(first.body) == event
    assert (second.exchange, second.routing_key) == (SETTINGS_COMMANDS.exchange, "settings.commands")
    assert (second.stream, second.reply_to, second.producerseq) == ("settings.commands", "gateway.replies.1", 1)


async def test_a_foreign_event_may_have_any_id(database: Database) -> None:
    async with database.transaction() as session:
        await outbox.emit(session, an_event(id="order 4711/ä"))
    relay = await database.dedicated()
    [row] = await outbox.claim(relay)
    await relay.close()
    assert row.event_id == "order 4711/ä"


async def test_the_relay_hears_of_commits_and_of_nothing_else(database: Database) -> None:
    heard: list[str] = []
    relay = await database.dedicated()
    await relay.add_listener("outbox_settings", lambda *note: heard.append(note[2]))

    async def write() -> None:
        async with database.transaction() as session:
            await outbox.emit(session, an_event())
            raise Conflict("no")

    with pytest.raises(Conflict):
        await write()
    async with database.transaction() as session:
        await outbox.emit(session, an_event())
        await outbox.emit(session, an_event())
        await relay.fetchval("SELECT 1")
        assert heard == []
    await eventually(lambda: heard)
    await relay.fetchval("SELECT 1")
    assert len(heard) == 1
    await relay.close()


async def test_the_backlog_is_counted_up_to_a_limit_and_knows_its_age(database: Database) -> None:
    relay = await database.dedicated()
    assert await outbox.backlog(relay) == outbox.Backlog(count=0, oldest_seconds=0.0)
    row = outbox_row(an_event())
    async with database.transaction() as session:
        await outbox.append(session, [row] * 10_500)
        await driver(session).execute("UPDATE outbox SET created_at = now() - interval '1 hour' WHERE position = 1")
    async with database.reading() as session:
        found = await outbox.backlog(session)
    assert found.count == outbox.MOST_COUNTED
    assert 3590 < found.oldest_seconds < 3700
    await relay.close()


async def test_an_append_of_nothing_is_nothing(database: Database) -> None:
    async with database.transaction() as session:
        await outbox.emit(session)
    async with database.reading() as session:
        assert (await outbox.backlog(session)).count == 0


def a_row(dice: random.Random) -> outbox.OutboxRow:
    kind = dice.choice(["event", "event", "settings", "notifications"])
    if kind == "event":
        return outbox_row(an_event())
    queue = SETTINGS_COMMANDS if kind == "settings" else NOTIFICATIONS_COMMANDS
    return command_row(an_event(), queue=queue, reply_to=None)


async def write_events(database: Database, count: int) -> None:
    async with database.transaction() as session:
        await outbox.emit(session, *(an_event() for _ in range(count)))
