"""The running platform that contract tests call."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.house import House, open_house
from tests.support.postgres import PlatformDatabases

SERVICES = ("gateway", "audit", "settings", "notifications")


@pytest.fixture(scope="package")
async def house(
    platform_databases: PlatformDatabases, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[House]:
    """The whole platform, one per worker; tests share its data."""
    database = await platform_databases.make(*SERVICES)
    folder: Path = tmp_path_factory.mktemp("platform")
    opened = await asyncio.to_thread(open_house, database, folder)
    yield opened
    await asyncio.to_thread(opened.stop)
    await platform_databases.give_back(database)
