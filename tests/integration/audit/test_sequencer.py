"""The sequencer: the tree is that of the leaves in their order, whoever grows it and however often it is interrupted."""

import asyncio
import json
import random
from datetime import timedelta

import asyncpg
import pytest

from libs.common.broker.topology import AUDIT_EVENTS
from services.audit.models.leaves import OWN_SOURCE
from services.audit.sequencer import HALTED, MOST_LEAVES, TREE_SIZE, UNSEQUENCED, Sequencer
from services.audit.store import heartbeat, tree
from tests.integration.audit.archive import Archive, Built, request_recorded
from tests.integration.audit.test_leaves import leaves
from tests.support.eventually import eventually
from tests.unit.audit.log.trees import Grown


async def stored(archive: Archive) -> Grown:
    """The tree of the stored leaves, made here."""
    return Grown([row["body"] for row in await archive.rows("SELECT body FROM log_leaves ORDER BY sequence")])


async def agrees(archive: Archive) -> bool:
    """Whether head and kept subtrees are those of the stored leaves."""
    made = await stored(archive)
    head = (await archive.rows("SELECT size, root, frontier FROM log_head"))[0]
    kept = await archive.rows("SELECT level, idx, hash FROM log_nodes ORDER BY level, idx")
    return head == {
        "size": made.frontier.size, "root": made.frontier.root, "frontier": made.frontier.pack(),
    } and [tuple(row.values()) for row in kept] == [tuple(one) for one in made.kept]  # fmt: skip


async def test_the_tree_is_that_of_the_leaves_in_their_order(archive: Archive) -> None:
    chance = random.Random(5)
    while await archive.value("SELECT size FROM log_state") < 600:
        await archive.record(*[request_recorded() for _ in range(chance.randint(1, 150))])
        await archive.sequence()
        assert await agrees(archive)


async def test_several_at_once_make_one_tree(archive: Archive) -> None:
    """Writers and sequencers all at the same time: each leaf is taken once, and nobody forks."""

    async def write() -> int:
        for _ in range(6):
            await archive.record(*[request_recorded() for _ in range(20)])
        return 0

    async def grow() -> int:
        mine = Sequencer(archive.database)
        return sum([await mine.turn() for _ in range(25)])

    counts = await asyncio.gather(*[write() for _ in range(3)], *[grow() for _ in range(4)])
    assert sum(counts) + await archive.sequence() == 360
    assert await agrees(archive)


async def test_one_that_was_paused_in_the_middle_cannot_fork(built: Built, archive: Archive) -> None:
    """It read the head, is paused, the database ends its session; another grows the tree; it comes back and fails."""
    await archive.record(*[request_recorded() for _ in range(10)])
    paused = await asyncpg.connect(built.platform.urls["audit"], server_settings={"search_path": "audit"})
    await paused.execute("BEGIN")
    await paused.fetchrow("SELECT * FROM log_head FOR UPDATE")
    other = asyncio.ensure_future(archive.sequence())
    await asyncio.sleep(0.1)
    assert not other.done()
    async with archive.database.reading() as session:
        await session.exec_driver_sql(f"SELECT pg_terminate_backend({paused.get_server_pid()})")
    assert await other == 10
    # The last of the three where the server's farewell is on its way in as the statement is on its way out.
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)):
        await paused.execute("UPDATE log_head SET size = 11")
    assert await agrees(archive)
    await paused.close()


async def _remove(owner: asyncpg.Connection, sequence: int) -> None:
    async with owner.transaction():
        await owner.execute("ALTER TABLE log_leaves DISABLE TRIGGER append_only")
        await owner.execute("DELETE FROM log_leaves WHERE sequence = $1", sequence)
        await owner.execute("ALTER TABLE log_leaves ENABLE TRIGGER append_only")


@pytest.mark.parametrize("missing", [0, 7, 19])
async def test_a_missing_leaf_stops_the_tree_before_it_and_raises_one_alarm(
    built: Built, archive: Archive, owner: asyncpg.Connection, missing: int
) -> None:
    await archive.record(*[request_recorded() for _ in range(20)])
    await _remove(owner, missing)
    sequencer = Sequencer(archive.database)
    for _ in range(3):
        await sequencer.turn(20)
    assert await archive.value("SELECT size FROM log_head") == missing
    assert HALTED._value.get() == 1
    alarms = await archive.rows("SELECT type, subject FROM outbox")
    assert alarms == [{"type": "platform.error.critical.v1", "subject": f"audit_log/{missing}"}]


async def test_a_leaf_that_comes_back_lets_the_tree_go_on(
    built: Built, archive: Archive, owner: asyncpg.Connection
) -> None:
    await archive.record(*[request_recorded() for _ in range(20)])
    row = await owner.fetchrow("SELECT * FROM log_leaves WHERE sequence = 7")
    await _remove(owner, 7)
    sequencer = Sequencer(archive.database)
    await sequencer.turn(20)
    await owner.execute("INSERT INTO log_leaves VALUES ($1, $2, $3)", *row)
    assert await sequencer.turn(20) == 13
    assert HALTED._value.get() == 0
    assert await agrees(archive)


async def test_a_transaction_takes_no_more_than_its_bound(archive: Archive) -> None:
    for _ in range(5):
        await archive.record(*[request_recorded() for _ in range(1_000)])
    assert await Sequencer(archive.database).turn() == MOST_LEAVES
    async with archive.database.reading() as session:
        found = await tree.state(session)
    assert (found.entries, found.size, found.signed) == (5_000, MOST_LEAVES, None)


async def test_the_task_takes_in_what_comes_and_measures_itself(built: Built, archive: Archive) -> None:
    task = asyncio.ensure_future(built.service.tasks[3]())
    try:
        await archive.record(*[request_recorded() for _ in range(30)])
        await eventually(lambda: archive.value("SELECT size = 30 FROM log_head"))
        await archive.record(request_recorded())
        await eventually(lambda: archive.value("SELECT size = 31 FROM log_head"))

        async def measured() -> bool:
            return bool(TREE_SIZE._value.get() == 31 and UNSEQUENCED._value.get() == 0)

        await eventually(measured)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_the_heartbeat_comes_once_a_minute_from_one_of_all_and_says_how_far_each_was_heard(
    built: Built, archive: Archive, owner: asyncpg.Connection
) -> None:
    consuming = asyncio.ensure_future(built.service.tasks[0]())
    relaying = asyncio.ensure_future(built.service.tasks[1]())
    sequencing = [asyncio.ensure_future(Sequencer(archive.database).run()) for _ in range(2)]
    try:
        await owner.execute(
            "INSERT INTO inbox (consumer, producer, watermark) VALUES ($1, 'gateway', 41), ('other', 'settings', 9)",
            AUDIT_EVENTS.name,
        )
        await owner.execute("UPDATE log_heartbeat SET at = at - $1::interval", timedelta(seconds=61))
        await eventually(lambda: archive.value("SELECT count(*) = 1 FROM log_leaves"))
        await asyncio.sleep(1.5)
        [leaf] = await leaves(archive)
    finally:
        for task in (consuming, relaying, *sequencing):
            task.cancel()
        await asyncio.gather(consuming, relaying, *sequencing, return_exceptions=True)
    assert (leaf["type"], leaf["source"], leaf["producer"], leaf["producer_seq"]) == (
        "reeve.audit.heartbeat.v1", OWN_SOURCE, "audit", 1,
    )  # fmt: skip
    assert leaf["public"]["producers"] == {"gateway": 41}
    assert leaf["public"].keys() == {"producers", "at"}
    assert await archive.value("SELECT details::jsonb = $1::jsonb FROM entries", json.dumps(leaf["public"]))


async def test_only_the_audit_service_s_own_words_are_spoken_out(archive: Archive) -> None:
    await archive.record(request_recorded(type="reeve.audit.heartbeat.v1", data={"producers": {"gateway": 10**6}}))
    [leaf] = await leaves(archive)
    assert leaf["public"] is None


async def test_a_beat_within_the_minute_is_nobody_s(archive: Archive) -> None:
    async with archive.database.transaction() as session:
        assert await heartbeat.take(session, every_seconds=0)
        assert not await heartbeat.take(session, every_seconds=60)
