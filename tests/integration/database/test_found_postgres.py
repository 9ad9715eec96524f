"""Where tests find a Postgres, and what they are given there."""

from collections.abc import Awaitable, Callable

import asyncpg
import pytest

from libs.common.database.engine import Database
from tests.support.postgres import PlatformDatabase, PlatformDatabases, found_postgres

NOWHERE = "postgresql://postgres@127.0.0.1:1/postgres"


async def test_one_that_is_configured_is_taken_at_its_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REEVE_TEST_DATABASE_URL", NOWHERE)
    async with found_postgres() as url:
        assert url == NOWHERE


async def test_where_there_is_none_platform_databases_still_come_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REEVE_TEST_DATABASE_URL", raising=False)
    async with found_postgres(local=NOWHERE) as url:
        databases = PlatformDatabases(url)
        made = await databases.make()
        database = made.database("audit")
        await database.ping()
        await database.close()
        await databases.give_back(made)
        await databases.close()


async def test_each_platform_database_is_its_own(platform_db: Callable[..., Awaitable[PlatformDatabase]]) -> None:
    first, second = await platform_db(), await platform_db()
    connection = await asyncpg.connect(first.urls["migrator"])
    await connection.execute("CREATE TABLE audit.mine (id int)")
    await connection.close()
    connection = await asyncpg.connect(second.urls["migrator"])
    assert await connection.fetchval("SELECT to_regclass('audit.mine')") is None
    await connection.close()


async def test_a_service_gets_a_pool_of_its_own_role(database_for: Callable[..., Awaitable[Database]]) -> None:
    settings, gateway = await database_for("settings"), await database_for("gateway")
    for database, service in ((settings, "settings"), (gateway, "gateway")):
        connection = await database.dedicated()
        assert (await connection.fetchval("SELECT current_user")).endswith(f"_{service}")
        assert await connection.fetchval("SELECT current_schema()") == service
        await connection.close()


async def test_a_database_that_was_given_back_is_handed_out_as_good_as_new(
    platform_databases: PlatformDatabases,
) -> None:
    made = await platform_databases.make("audit", "gateway")
    connection = await asyncpg.connect(made.admin_url, server_settings={"search_path": "gateway"})
    before = await _contents(connection)
    await connection.execute("DELETE FROM ip_rules; SELECT setval(pg_get_serial_sequence('outbox', 'position'), 7)")
    await connection.execute("UPDATE audit.log_state SET size = 9; INSERT INTO senders VALUES ('me', '/me', '{}')")
    assert await _contents(connection) != before
    await platform_databases.give_back(made)
    assert connection.is_closed()
    again = await platform_databases.make("audit", "gateway")
    assert again.name == made.name
    connection = await asyncpg.connect(again.admin_url)
    assert await _contents(connection) == before
    await connection.close()
    await platform_databases.give_back(again)


CHANGES = [
    "ALTER TABLE audit.log_leaves DISABLE TRIGGER ALL", "GRANT SELECT ON gateway.users TO PUBLIC",
    "CREATE TABLE public.mine ()", "DROP INDEX gateway.outbox_commands", "ALTER FUNCTION audit.refuse_change RENAME TO no",
    "ALTER TABLE gateway.users ALTER COLUMN email DROP NOT NULL", "CREATE SCHEMA mine",
]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
async def test_a_database_whose_structure_changed_is_not_handed_out_again(
    platform_databases: PlatformDatabases, change: str
) -> None:
    made = await platform_databases.make("audit", "gateway")
    connection = await asyncpg.connect(made.admin_url)
    await connection.execute(change)
    await connection.close()
    await platform_databases.give_back(made)
    again = await platform_databases.make("audit", "gateway")
    assert again.name != made.name
    await platform_databases.give_back(again)


async def _contents(connection: asyncpg.Connection) -> dict[str, object]:
    """All rows of all tables, and where the sequences are."""
    tables = await connection.fetch(
        "SELECT schemaname, tablename FROM pg_tables WHERE schemaname IN ('audit', 'gateway')"
    )
    held: dict[str, object] = {
        ".".join(table): await connection.fetch(f"SELECT t::text FROM {'.'.join(table)} t ORDER BY 1")
        for table in tables
    }
    held["sequences"] = await connection.fetch("SELECT sequencename, last_value FROM pg_sequences ORDER BY 1")
    return held
