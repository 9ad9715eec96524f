"""Databases that hold the common tables only, so that these tests stand on no service."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from libs.common.database.engine import Database
from libs.common.database.migrate import migrate
from tests.support.postgres import PlatformDatabase

REVISIONS = Path(__file__).parent / "revisions"
SERVICE = "settings"


@pytest.fixture
async def platform(platform_db: Callable[..., Awaitable[PlatformDatabase]]) -> PlatformDatabase:
    """A platform database with the common tables in the schema `settings`."""
    made = await platform_db()
    await migrate(made.urls["migrator"], service=SERVICE, role_prefix=made.role_prefix, versions=REVISIONS)
    return made


@pytest.fixture
async def database(platform: PlatformDatabase) -> AsyncIterator[Database]:
    """A pool of the role `settings`."""
    made = platform.database(SERVICE)
    yield made
    await made.close()
