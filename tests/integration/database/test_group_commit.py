"""Group commit: many writes in few transactions, and nobody is told that something is durable when it is not."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic

import asyncpg
import pytest

from libs.common.database.engine import Database, driver
from libs.common.database.group_commit import FLUSHERS, GroupCommit
from libs.common.errors import Unavailable
from tests.support.eventually import eventually
from tests.support.postgres import PlatformDatabase


async def write(connection: asyncpg.Connection, items: list[str]) -> None:
    """One sender for each item; an item with a NUL cannot be stored."""
    await connection.execute(
        "INSERT INTO senders (client_id, source, event_types) SELECT id, '/platform/x', '{}' FROM unnest($1::text[]) id",
        items,
    )


async def test_writers_at_once_share_transactions(database: Database) -> None:
    async with GroupCommit(database, write) as group:
        await asyncio.gather(*(group.commit(f"client-{number}") for number in range(1000)))
    async with database.reading() as session:
        row = await driver(session).fetchrow(
            "SELECT count(*) AS rows, count(DISTINCT xmin::text) AS commits FROM senders"
        )
    assert row["rows"] == 1000
    assert row["commits"] <= 20


async def test_what_was_answered_is_durable(database: Database) -> None:
    async with GroupCommit(database, write) as group:

        async def commit_and_look(client_id: str) -> None:
            await group.commit(client_id)
            assert client_id in await kept(database)

        await asyncio.gather(*(commit_and_look(f"client-{number}") for number in range(30)))


async def test_all_waiters_fail_when_the_database_goes_away_and_all_is_well_afterwards(
    platform: PlatformDatabase, database: Database
) -> None:
    async with GroupCommit(database, write) as group:
        await group.commit("before")
        async with gone(platform):
            found = await asyncio.gather(*(group.commit(f"lost-{n}") for n in range(50)), return_exceptions=True)
            assert {type(answer) for answer in found} == {Unavailable}
            assert {answer.code for answer in found if isinstance(answer, Unavailable)} == {"audit_unavailable"}
        await eventually(lambda: succeeds(group, "after"))
    assert await kept(database) == {"before", "after"}


async def test_a_connection_that_broke_while_idle_costs_no_request(
    platform: PlatformDatabase, database: Database
) -> None:
    async with GroupCommit(database, write) as group:
        for number in range(5):
            await group.commit(f"client-{number}")
            await terminate(platform)
    assert len(await kept(database)) == 5


async def test_one_that_cannot_be_written_fails_nobody_else(database: Database) -> None:
    items = [f"client-{number}" for number in range(20)] + ["poison\0"]
    async with GroupCommit(database, write) as group:
        found = await asyncio.gather(*map(group.commit, items), return_exceptions=True)
        assert [type(answer) for answer in found] == [type(None)] * 20 + [Unavailable]
        await group.commit("later")
    assert len(await kept(database)) == 21


async def test_a_full_queue_refuses_at_once_and_waiting_is_bounded(
    platform: PlatformDatabase, database: Database
) -> None:
    admin = await asyncpg.connect(platform.admin_url)
    async with GroupCommit(database, write, most_waiting=5, wait_seconds=0.5) as group:
        await group.commit("before")
        async with admin.transaction():
            await admin.execute("LOCK TABLE settings.senders IN ACCESS EXCLUSIVE MODE")
            stuck = []
            for number in range(FLUSHERS):
                stuck.append(asyncio.ensure_future(group.commit(f"stuck-{number}")))
                await asyncio.sleep(0.05)
            waiting = [asyncio.ensure_future(group.commit(f"waiting-{number}")) for number in range(5)]
            await asyncio.sleep(0)
            began = monotonic()
            with pytest.raises(Unavailable):
                await group.commit("one too many")
            assert monotonic() - began < 0.2
            found = await asyncio.gather(*stuck, *waiting, return_exceptions=True)
            assert {type(answer) for answer in found} == {Unavailable}
        await eventually(lambda: succeeds(group, "after"))
    await admin.close()
    assert not {client_id for client_id in await kept(database) if client_id.startswith("waiting")}


async def test_a_caller_that_gives_up_harms_nobody(database: Database) -> None:
    async with GroupCommit(database, write) as group:
        tasks = [asyncio.ensure_future(group.commit(f"client-{number}")) for number in range(20)]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        await asyncio.gather(*tasks[1::2])
    assert {f"client-{number}" for number in range(1, 20, 2)} <= await kept(database)


async def test_stopping_writes_what_waits_and_then_refuses(database: Database) -> None:
    group = GroupCommit(database, write)
    group.start()
    waiting = [asyncio.ensure_future(group.commit(f"client-{number}")) for number in range(700)]
    await asyncio.sleep(0)
    await group.stop()
    await asyncio.gather(*waiting)
    assert len(await kept(database)) == 700
    with pytest.raises(Unavailable):
        await group.commit("too late")


async def test_a_write_that_swallows_its_failure_is_not_taken_for_durable(database: Database) -> None:
    async def careless(connection: asyncpg.Connection, items: list[str]) -> None:
        await write(connection, items)
        with pytest.raises(asyncpg.UndefinedTableError):
            await connection.execute("SELECT * FROM nowhere")

    async with GroupCommit(database, careless) as group:
        with pytest.raises(Unavailable):
            await group.commit("client")
    assert await kept(database) == set()


@asynccontextmanager
async def gone(platform: PlatformDatabase) -> AsyncIterator[None]:
    """Have the database end all connections and take no new ones."""
    admin = await asyncpg.connect(platform.admin_url.replace(f"/{platform.name}", "/postgres"))
    await admin.execute(f'ALTER DATABASE "{platform.name}" ALLOW_CONNECTIONS false')
    await admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", platform.name)
    try:
        yield
    finally:
        await admin.execute(f'ALTER DATABASE "{platform.name}" ALLOW_CONNECTIONS true')
        await admin.close()


async def terminate(platform: PlatformDatabase) -> None:
    admin = await asyncpg.connect(platform.admin_url)
    await admin.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND usename = $1",
        f"{platform.role_prefix}_settings",
    )
    await admin.close()


async def succeeds(group: GroupCommit[str], item: str) -> bool:
    try:
        await group.commit(item)
    except Unavailable:
        return False
    return True


async def kept(database: Database) -> set[str]:
    async with database.reading() as session:
        return {row["client_id"] for row in await driver(session).fetch("SELECT client_id FROM senders")}
