"""Entries as they are stored: exactly once, in gapless places, and never changed again."""

import asyncio
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import pytest

from libs.common.broker.transport import Message
from libs.common.events.envelope import BATCH, Event, encode, pack
from services.audit.handlers import MONTHS_AHEAD
from services.audit.models.leaves import sequence_of
from services.audit.store import entries as store
from tests.integration.audit.archive import Archive, Built, arrived, message_of, platform_event, request_recorded
from tests.support.eventually import eventually

EVENTS = 10_000


def packed(events: Sequence[Event]) -> Message:
    """Several events as one message, as the relay packs them."""
    return message_of(events[0])._replace(body=pack([encode(event) for event in events]), content_type=BATCH)


async def test_every_event_is_stored_once_however_often_and_in_whatever_order_it_comes(
    built: Built, archive: Archive
) -> None:
    chance = random.Random(2)
    events = [request_recorded(subject=f"thing/{number % 97}", producerseq=number) for number in range(1, EVENTS + 1)]
    starts = list(range(0, EVENTS, 40))
    messages = [packed(events[start : start + 40]) for start in starts]
    messages += [packed(events[start + 15 : start + 40]) for start in chance.sample(starts, 60)]
    messages += [message_of(event) for event in chance.sample(events, 300)]
    chance.shuffle(messages)
    consuming = asyncio.ensure_future(built.service.tasks[0]())
    try:
        await asyncio.gather(*[built.transport.publish(message) for message in messages])
    finally:
        consuming.cancel()
        await asyncio.gather(consuming, return_exceptions=True)
    rows = await archive.rows("SELECT event_id, sequence, producer, producer_seq FROM entries ORDER BY sequence")
    assert sorted(row["event_id"] for row in rows) == sorted(event.id for event in events)
    assert [row["sequence"] for row in rows] == list(range(EVENTS))
    assert sorted(row["producer_seq"] for row in rows) == list(range(1, EVENTS + 1))
    assert {row["producer"] for row in rows} == {"gateway"}
    assert await archive.value("SELECT watermark FROM inbox") == EVENTS
    assert await archive.value("SELECT count(*) FROM dead_letters") == 0


async def test_writers_at_the_same_time_leave_no_gap_and_no_double_place(archive: Archive) -> None:
    async def write(count: int, *, fails: bool) -> None:
        try:
            async with archive.database.transaction() as session:
                await archive.recorder.record_events(session, [arrived(platform_event()) for _ in range(count)])
                if fails:
                    raise RuntimeError("changed my mind")
        except RuntimeError:
            assert fails

    await asyncio.gather(*[write(count, fails=count % 3 == 0) for count in range(1, 10)])
    stored = [row["sequence"] for row in await archive.rows("SELECT sequence FROM entries ORDER BY sequence")]
    assert stored == list(range(1 + 2 + 4 + 5 + 7 + 8))
    rows = await archive.rows("SELECT recorded_at FROM entries ORDER BY sequence")
    assert rows == sorted(rows, key=lambda row: row["recorded_at"])


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE entries SET action = 'nothing'",
        "DELETE FROM entries",
        "TRUNCATE entries",
        "INSERT INTO entries SELECT * FROM entries ON CONFLICT (sequence, recorded_at) DO UPDATE SET action = 'nothing'",
        "UPDATE {partition} SET action = 'nothing'",
        "DELETE FROM {partition}",
        "TRUNCATE {partition}",
        "TRUNCATE entries_default",
        "UPDATE log_state SET size = size - 1",
    ],
)
async def test_the_past_is_refused_to_the_service_and_to_the_owner(
    archive: Archive, owner: asyncpg.Connection, statement: str
) -> None:
    await archive.record(request_recorded())
    partition = await archive.value("SELECT tableoid::regclass::text FROM entries")
    assert partition != "entries_default"
    for refused in (archive.value, owner.execute):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await refused(statement.format(partition=partition))
    assert await archive.value("SELECT action FROM entries") == "list_settings"
    assert await archive.value("SELECT size FROM log_state") == 1


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM log_state",
        "INSERT INTO log_state VALUES (false, 9)",
        "UPDATE facets SET value = 'x'",
        "DELETE FROM facets",
        "DELETE FROM tallies",
        "DROP TABLE entries",
        "ALTER TABLE entries DISABLE TRIGGER append_only",
        "CREATE TABLE mine (id int)",
        "SELECT make_partitions(25)",
    ],
)
async def test_the_service_can_do_nothing_else_to_its_tables(archive: Archive, statement: str) -> None:
    with pytest.raises((asyncpg.InsufficientPrivilegeError, asyncpg.RaiseError)):
        await archive.value(statement)


async def test_the_partitions_of_the_months_to_come_are_there_and_made_once(archive: Archive) -> None:
    now = datetime.now(UTC)
    months = [(now.year * 12 + now.month - 1 + ahead) for ahead in range(MONTHS_AHEAD + 1)]
    names = {f"entries_{month // 12}_{month % 12 + 1:02}" for month in months} | {"entries_default"}
    sql = "SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = 'entries'::regclass"
    assert {row["name"] for row in await archive.rows(sql)} == names
    async with archive.database.transaction() as session:
        assert await store.make_partitions(session, months=MONTHS_AHEAD) == 0
        assert await store.make_partitions(session, months=MONTHS_AHEAD + 2) == 2
    assert len(await archive.rows(sql)) == len(names) + 2


async def test_a_new_partition_is_as_append_only_as_the_others(archive: Archive, owner: asyncpg.Connection) -> None:
    await owner.execute("SELECT make_partitions(6)")
    rows = await archive.rows(
        "SELECT inhrelid::regclass::text AS name, array_agg(tgname::text ORDER BY tgname) AS triggers"
        " FROM pg_inherits JOIN pg_trigger ON tgrelid = inhrelid WHERE inhparent = 'entries'::regclass GROUP BY 1"
    )
    assert len(rows) == 8
    assert {tuple(row["triggers"]) for row in rows} == {("append_only", "no_truncate", "pruned_by_rule")}


async def test_a_month_whose_entries_are_in_the_default_partition_stays_there(
    archive: Archive, owner: asyncpg.Connection
) -> None:
    late = datetime.now(UTC) + timedelta(days=31 * 8)
    await archive.record(request_recorded())
    await owner.execute(
        "INSERT INTO entries SELECT (jsonb_populate_record(entries, jsonb_build_object('recorded_at', $1::timestamptz,"
        " 'sequence', 1))).* FROM entries",
        late,
    )
    async with archive.database.transaction() as session:
        assert await store.make_partitions(session, months=10) == 10 - MONTHS_AHEAD - 1
    assert len(await archive.found()) == 2


@pytest.mark.parametrize("year", [1, 1969, 2001, 9999])
async def test_events_of_any_date_land(archive: Archive, year: int) -> None:
    moment = datetime(year, 1, 1, 12, tzinfo=UTC)
    await archive.record(event := platform_event(time=moment), request_recorded())
    [entry] = (
        await archive.body(f"/logs?date_to={'9999-12-31' if year == 9999 else '2002-01-01'}&source=/platform/shop")
    )["logs"]
    assert entry["event_id"] == event.id
    assert entry["created_at"] == f"{year:04}-01-01T12:00:00.000000Z"
    assert await archive.value("SELECT tableoid::regclass::text FROM entries WHERE sequence = 0") != "entries_default"


async def test_an_id_is_a_uuid7_and_carries_its_place(archive: Archive) -> None:
    await archive.record(*[request_recorded() for _ in range(300)])
    rows = await archive.rows("SELECT id, sequence FROM entries ORDER BY sequence")
    ids = [UUID(str(row["id"])) for row in rows]
    assert ids == sorted(set(ids))
    assert {(one.version, one.variant) for one in ids} == {(7, "specified in RFC 4122")}
    assert [sequence_of(one) for one in ids] == list(range(300))


async def test_raw_members_of_the_way_are_kept(archive: Archive) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    event = request_recorded(producerseq=41, traceparent=f"00-{trace}-00f067aa0ba902b7-01", correlationid="chain-1")
    await archive.record(event)
    [row] = await archive.rows("SELECT producer, producer_seq, correlation_id, trace_id, source FROM entries")
    assert row == {
        "producer": "gateway", "producer_seq": 41, "correlation_id": "chain-1", "trace_id": trace,
        "source": "/reeve/gateway",
    }  # fmt: skip


async def test_facets_are_said_again_when_the_batch_that_said_them_came_to_nothing(archive: Archive) -> None:
    event = request_recorded(subject="setting/theme")

    async def come_to_nothing() -> None:
        async with archive.database.transaction() as session:
            await archive.recorder.record_events(session, [arrived(event)])
            raise RuntimeError("changed my mind")

    with pytest.raises(RuntimeError):
        await come_to_nothing()
    await archive.record(event)
    assert (await archive.body("/actions"))["actions"] == ["list_settings"]
    assert (await archive.body("/target-types"))["target_types"] == ["setting"]


async def test_the_task_that_makes_partitions_waits_when_it_cannot(built: Built, owner: asyncpg.Connection) -> None:
    await owner.execute("ALTER FUNCTION make_partitions(integer) RENAME TO gone")
    task = asyncio.ensure_future(built.service.tasks[2]())
    await asyncio.sleep(0.3)
    assert not task.done()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_dead_letters_are_alone_in_a_pack_of_good_events(built: Built, archive: Archive) -> None:
    """An event that the catalogue does not know is parked with its reason; its neighbours are stored."""
    events = [request_recorded(producerseq=number) for number in range(1, 21)]
    events[9] = events[9]._replace(type="reeve.unheard.of.v1")
    consuming = asyncio.ensure_future(built.service.tasks[0]())
    await built.transport.publish(packed(events))
    await eventually(lambda: archive.value("SELECT count(*) = 19 FROM entries"))
    consuming.cancel()
    await asyncio.gather(consuming, return_exceptions=True)
    [letter] = await archive.rows("SELECT reason, message_id FROM dead_letters")
    assert letter["reason"].startswith("unknown_event_type")
    assert letter["message_id"] == events[9].id
    assert await archive.value("SELECT max(sequence) FROM entries") == 18
