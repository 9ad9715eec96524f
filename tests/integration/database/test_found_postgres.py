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
        await databases.drop(made)
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
