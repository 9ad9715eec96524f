"""The engine: what commits, what is undone, and what a caller hears when the database does not answer."""

import asyncio
from time import monotonic

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError

from libs.common.database.engine import Database, Session, driver
from libs.common.errors import Conflict, Unavailable
from tests.support.eventually import eventually
from tests.support.postgres import PlatformDatabase

ADD = text("INSERT INTO senders (client_id, source, event_types) VALUES (:id, '/platform/x', '{}')")


async def add(session: Session, client_id: str) -> None:
    await session.execute(ADD, {"id": client_id})


async def kept(database: Database) -> list[str]:
    async with database.reading() as session:
        return list((await session.execute(text("SELECT client_id FROM senders ORDER BY 1"))).scalars())


async def test_a_transaction_commits_when_its_block_ends(database: Database) -> None:
    async with database.transaction() as session:
        await add(session, "a")
        assert await kept(database) == []
    assert await kept(database) == ["a"]


async def test_an_error_undoes_everything_and_rises_as_it_is(database: Database) -> None:
    async def write() -> None:
        async with database.transaction() as session:
            await add(session, "a")
            raise Conflict("no")

    with pytest.raises(Conflict):
        await write()
    assert await kept(database) == []


async def test_a_violated_constraint_rises_as_it_is(database: Database) -> None:
    async def write_again() -> None:
        async with database.transaction() as session:
            await add(session, "a")
            await add(session, "a")

    with pytest.raises(IntegrityError):
        await write_again()
    assert await kept(database) == []


async def test_a_swallowed_failure_never_passes_for_a_commit(database: Database) -> None:
    async def write_again() -> None:
        async with database.transaction() as session:
            await add(session, "a")
            with pytest.raises(IntegrityError):
                await add(session, "a")

    with pytest.raises(RuntimeError, match="rolled back"):
        await write_again()
    assert await kept(database) == []


async def test_a_savepoint_undoes_only_what_is_inside(database: Database) -> None:
    async with database.transaction() as session:
        await add(session, "a")
        with pytest.raises(IntegrityError):
            async with session.begin_nested():
                await add(session, "a")
        await add(session, "b")
    assert await kept(database) == ["a", "b"]


async def test_the_driver_is_in_the_same_transaction(database: Database) -> None:
    async def write() -> None:
        async with database.transaction() as session:
            await driver(session).copy_records_to_table(
                "senders", records=[("a", "/platform/a", [])], columns=["client_id", "source", "event_types"]
            )
            assert (await session.execute(text("SELECT count(*) FROM senders"))).scalar_one() == 1
            raise Conflict("no")

    with pytest.raises(Conflict):
        await write()
    assert await kept(database) == []


async def test_a_driver_that_comes_first_is_in_the_transaction_too(database: Database) -> None:
    async with database.transaction() as session:
        await driver(session).execute("INSERT INTO senders VALUES ('a', '/platform/a', '{}')")
        assert await kept(database) == []
    assert await kept(database) == ["a"]


async def test_reading_needs_no_transaction(database: Database) -> None:
    async with database.reading() as session:
        await add(session, "a")
        assert await kept(database) == ["a"]
        assert not driver(session).is_in_transaction()


async def test_a_cancelled_transaction_leaves_nothing_and_gives_its_place_back(platform: PlatformDatabase) -> None:
    database = platform.database("settings", pool_size=1)
    for _ in range(3):
        entered = asyncio.Event()

        async def hang(entered: asyncio.Event = entered) -> None:
            async with database.transaction() as session:
                await add(session, "a")
                entered.set()
                await session.execute(text("SELECT pg_sleep(20)"))

        hanging = asyncio.create_task(hang())
        await entered.wait()
        await asyncio.sleep(0)
        hanging.cancel()
        with pytest.raises(asyncio.CancelledError):
            await hanging
        assert await kept(database) == []
    await database.close()


async def test_a_full_pool_refuses_within_a_second(platform: PlatformDatabase) -> None:
    database = platform.database("settings", pool_size=1)
    async with database.transaction():
        began = monotonic()
        with pytest.raises(Unavailable) as refusal:
            async with database.transaction():
                pass
        assert 0.9 < monotonic() - began < 3
        assert refusal.value.code == "database_unavailable"
    await database.ping()
    await database.close()


async def test_connections_are_given_out_in_the_order_in_which_they_are_asked_for(platform: PlatformDatabase) -> None:
    database = platform.database("settings", pool_size=1)
    order: list[str] = []

    async def read(name: str) -> None:
        async with database.reading():
            order.append(name)

    async with asyncio.TaskGroup() as readers:
        async with database.reading():
            for name in ("first", "second"):
                readers.create_task(read(name))
                await asyncio.sleep(0.01)
        # Free now, and asked for before those who wait have had their turn.
        await read("third")
    assert order == ["first", "second", "third"]
    await database.close()


async def test_an_idle_connection_that_the_server_closed_costs_no_request(
    platform: PlatformDatabase, database: Database
) -> None:
    async with database.transaction() as session:
        first = driver(session)
    await terminate(platform)
    await eventually(first.is_closed)
    async with database.transaction() as session:
        await add(session, "a")
    assert await kept(database) == ["a"]


async def test_losing_the_connection_inside_is_unavailable_and_undone(
    platform: PlatformDatabase, database: Database
) -> None:
    async def write() -> None:
        async with database.transaction() as session:
            await add(session, "a")
            await terminate(platform)
            await add(session, "b")

    with pytest.raises(Unavailable):
        await write()

    async def write_again() -> None:
        async with database.transaction() as session:
            await driver(session).execute("SELECT 1")
            await terminate(platform)
            await driver(session).execute("SELECT 1")

    with pytest.raises(Unavailable):
        await write_again()
    assert await kept(database) == []


async def test_losing_the_connection_at_the_commit_is_unavailable(
    platform: PlatformDatabase, database: Database
) -> None:
    async def write() -> None:
        async with database.transaction() as session:
            await add(session, "a")
            await terminate(platform)

    with pytest.raises(Unavailable):
        await write()
    assert await kept(database) == []


async def test_a_slow_statement_is_unavailable(platform: PlatformDatabase) -> None:
    database = platform.database("settings", statement_timeout_seconds=0.2)

    async def write_again() -> None:
        async with database.transaction() as session:
            await session.execute(text("SELECT pg_sleep(5)"))

    with pytest.raises(Unavailable):
        await write_again()
    await database.close()


async def test_a_database_that_is_not_there_is_unavailable() -> None:
    database = Database("postgresql://nobody@127.0.0.1:1/none", schema="settings", application="test")
    with pytest.raises(Unavailable):
        await database.ping()
    with pytest.raises(Unavailable):
        async with database.transaction():
            pass
    await database.close()


async def test_a_wrong_name_of_the_database_is_unavailable(platform: PlatformDatabase) -> None:
    gone = Database(platform.urls["settings"] + "_gone", schema="settings", application="test")
    with pytest.raises(Unavailable):
        await gone.ping()
    await gone.close()


async def test_ping_gives_up_after_two_seconds(platform: PlatformDatabase) -> None:
    async def silent(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(30)
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    database = Database(f"postgresql://x:y@127.0.0.1:{port}/z", schema="settings", application="test")
    began = monotonic()
    with pytest.raises(Unavailable):
        await database.ping()
    assert monotonic() - began < 4
    await database.close()
    server.close()


async def test_every_connection_has_the_settings_that_bound_it(database: Database) -> None:
    expected = {
        "search_path": "settings",
        "statement_timeout": "10s",
        "lock_timeout": "5s",
        "idle_in_transaction_session_timeout": "30s",
        "jit": "off",
        "application_name": "test-settings",
    }
    dedicated = await database.dedicated()
    async with database.transaction() as session:
        for name, value in expected.items():
            assert await driver(session).fetchval("SELECT current_setting($1)", name) == value
            assert await dedicated.fetchval("SELECT current_setting($1)", name) == value
    await dedicated.close()


async def test_a_schema_that_changes_below_prepared_statements_is_seen(
    platform: PlatformDatabase, database: Database
) -> None:
    statement = text("SELECT * FROM senders")
    async with database.reading() as session:
        await session.execute(statement)
    admin = await asyncpg.connect(platform.admin_url)
    await admin.execute("ALTER TABLE settings.senders ADD COLUMN note text")
    await admin.close()

    async def read() -> bool:
        try:
            async with database.reading() as session:
                columns = (await session.execute(statement)).keys()
                return "note" in columns
        except Unavailable:
            return False

    await eventually(read)


async def test_an_unknown_table_is_our_own_mistake(database: Database) -> None:
    with pytest.raises(DBAPIError):
        async with database.reading() as session:
            await session.execute(text("SELECT * FROM nowhere"))


async def terminate(platform: PlatformDatabase) -> None:
    """End every session of the service's role in this database."""
    admin = await asyncpg.connect(platform.admin_url)
    await admin.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND usename = $1",
        f"{platform.role_prefix}_settings",
    )
    await admin.close()
