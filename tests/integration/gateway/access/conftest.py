"""The gateway's access control on a real Postgres, called in-process."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from libs.common.database.engine import Database
from tests.integration.gateway.access.door import Door, open_door


@pytest.fixture
async def gateway_database(database_for: Callable[..., Awaitable[Database]]) -> Database:
    """A fresh gateway schema."""
    return await database_for("gateway")


@pytest.fixture
async def door(gateway_database: Database) -> AsyncIterator[Door]:
    """The routes of accounts, sessions, clients and roles, with a first super admin and generous limits."""
    async with open_door(gateway_database) as opened:
        yield opened
