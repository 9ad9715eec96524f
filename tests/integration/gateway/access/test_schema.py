"""The gateway's schema: made, undone and made again, with grants for exactly what is done with it."""

from collections.abc import Awaitable, Callable

import pytest
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from libs.common.database.engine import Database
from libs.common.database.migrate import downgrade, migrate
from services.gateway.tables import metadata
from tests.support.postgres import PlatformDatabase


async def test_the_migration_can_be_undone_and_done_again(
    platform_db: Callable[..., Awaitable[PlatformDatabase]],
) -> None:
    platform = await platform_db("gateway")
    owner = platform.urls["migrator"]
    await downgrade(owner, service="gateway", role_prefix=platform.role_prefix)
    await migrate(owner, service="gateway", role_prefix=platform.role_prefix)


async def test_the_tables_have_the_columns_that_the_stores_see(gateway_database: Database) -> None:
    async with gateway_database.reading() as session:
        rows = await session.execute(
            text("SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'gateway'")
        )
        found = {(row.table_name, row.column_name) for row in rows}
    declared = {(table.name, column.name) for table in metadata.sorted_tables for column in table.columns}
    names = {table.name for table in metadata.sorted_tables}
    assert {one for one in found if one[0] in names} == declared


@pytest.mark.parametrize("table", ["users", "sessions", "access_requests", "approvals"])
async def test_accounts_sessions_requests_and_approvals_are_never_deleted(
    gateway_database: Database, table: str
) -> None:
    with pytest.raises(ProgrammingError, match="permission denied"):
        async with gateway_database.transaction() as session:
            await session.execute(text(f"DELETE FROM {table}"))
