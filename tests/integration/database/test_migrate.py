"""Migrations: again, at once, behind a lock, and back."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy.exc import DBAPIError

from libs.common.database.ddl import COMMON_TABLES
from libs.common.database.migrate import downgrade, is_current, migrate
from tests.support.postgres import PlatformDatabase

REVISIONS = Path(__file__).parent / "revisions"
FAILING = '''
"""Makes a table, and then something that cannot be."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.execute("CREATE TABLE half_done (id int)")
    op.execute("CREATE TABLE outbox (id int)")
'''
CONCURRENT = '''
"""Makes an index without locking out writers."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("CREATE INDEX CONCURRENTLY outbox_by_type ON outbox (type)")
'''


@pytest.fixture
async def platform(platform_db: Callable[..., Awaitable[PlatformDatabase]]) -> PlatformDatabase:
    """A platform database whose schemas are empty."""
    return await platform_db()


async def test_migrating_twice_changes_nothing(platform: PlatformDatabase) -> None:
    await upgrade(platform)
    before = await tables(platform)
    await upgrade(platform)
    assert await tables(platform) == before == {*COMMON_TABLES, "alembic_version"}


async def test_starts_that_collide_take_turns(platform: PlatformDatabase) -> None:
    await asyncio.gather(*(upgrade(platform) for _ in range(6)))
    assert await tables(platform) == {*COMMON_TABLES, "alembic_version"}


async def test_schemas_migrate_apart_and_at_the_same_time(platform: PlatformDatabase) -> None:
    await asyncio.gather(*(upgrade(platform, service) for service in ("audit", "settings", "gateway")))
    assert await tables(platform, "audit") == {*COMMON_TABLES, "alembic_version"}
    assert await tables(platform, "notifications") == set()


async def test_readiness_sees_whether_the_schema_is_current(platform: PlatformDatabase) -> None:
    database = platform.database("settings")
    assert not await is_current(database, "settings", versions=REVISIONS)
    await upgrade(platform)
    assert await is_current(database, "settings", versions=REVISIONS)
    await database.close()


async def test_a_newer_code_than_the_schema_is_not_current(platform: PlatformDatabase, tmp_path: Path) -> None:
    await upgrade(platform)
    database = platform.database("settings")
    assert not await is_current(database, "settings", versions=with_second(tmp_path, CONCURRENT))
    await database.close()


async def test_the_way_back_leaves_nothing_and_leads_up_again(platform: PlatformDatabase) -> None:
    await upgrade(platform)
    await downgrade(platform.urls["migrator"], service="settings", role_prefix=platform.role_prefix, versions=REVISIONS)
    assert await tables(platform) == {"alembic_version"}
    await upgrade(platform)
    assert await tables(platform) == {*COMMON_TABLES, "alembic_version"}


async def test_a_revision_that_fails_leaves_no_half(platform: PlatformDatabase, tmp_path: Path) -> None:
    await upgrade(platform)
    with pytest.raises(DBAPIError):
        await upgrade(platform, versions=with_second(tmp_path, FAILING))
    assert await tables(platform) == {*COMMON_TABLES, "alembic_version"}


async def test_a_revision_may_leave_its_transaction_for_an_index(platform: PlatformDatabase, tmp_path: Path) -> None:
    versions = with_second(tmp_path, CONCURRENT)
    await upgrade(platform, versions=versions)
    database = platform.database("settings")
    assert await is_current(database, "settings", versions=versions)
    await database.close()


async def test_a_lock_in_the_way_is_waited_for_with_pauses(platform: PlatformDatabase) -> None:
    await upgrade(platform)
    admin = await asyncpg.connect(platform.admin_url)
    async with admin.transaction():
        await admin.execute("LOCK TABLE settings.alembic_version IN ACCESS EXCLUSIVE MODE")
        migrating = asyncio.create_task(upgrade(platform))
        await asyncio.sleep(2.5)
        assert not migrating.done()
    await migrating
    await admin.close()


def with_second(folder: Path, revision: str) -> Path:
    """The revisions of these tests and one more."""
    for path in REVISIONS.glob("*.py"):
        (folder / path.name).write_text(path.read_text())
    (folder / "0002_second.py").write_text(revision)
    return folder


async def upgrade(platform: PlatformDatabase, service: str = "settings", versions: Path = REVISIONS) -> None:
    await migrate(platform.urls["migrator"], service=service, role_prefix=platform.role_prefix, versions=versions)


async def tables(platform: PlatformDatabase, schema: str = "settings") -> set[str]:
    admin = await asyncpg.connect(platform.admin_url)
    found = await admin.fetch("SELECT tablename FROM pg_tables WHERE schemaname = $1", schema)
    await admin.close()
    return {row["tablename"] for row in found}
