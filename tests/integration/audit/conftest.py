"""The audit service on a real Postgres: its consumer, and its routes called in-process."""

from collections.abc import AsyncIterator, Awaitable, Callable
from ipaddress import ip_network
from pathlib import Path

import asyncpg
import httpx
import pytest

from libs.common.assertions import AssertionMinter
from libs.common.broker.topology import AUDIT_EVENTS
from libs.common.keys import load_or_create_ed25519
from services.audit.app import LOG_KEY, build
from services.audit.config import Config
from tests.integration.audit.archive import Archive, Built
from tests.integration.audit.exporting import Exporter
from tests.integration.audit.sinks import Sinks
from tests.support.postgres import PlatformDatabase
from tests.support.vouching import VouchingTransport

MakeDatabase = Callable[..., Awaitable[PlatformDatabase]]


@pytest.fixture
async def built(platform_db: MakeDatabase, tmp_path: Path) -> AsyncIterator[Built]:
    """The audit service on a fresh schema; none of its tasks runs."""
    platform = await platform_db("audit")
    config = Config(data_dir=tmp_path)
    config.keys.mkdir(parents=True, exist_ok=True)
    load_or_create_ed25519(config.keys / "gateway.key")
    load_or_create_ed25519(config.keys / LOG_KEY)
    database, search = platform.database("audit"), platform.database("audit", statement_timeout_seconds=2)
    transport = VouchingTransport(queues=(AUDIT_EVENTS,))
    service = build(config, database=database, search_database=search, transport=transport)
    yield Built(service, transport, database, platform, config)
    await service.close()
    await database.close()


@pytest.fixture
async def archive(built: Built) -> AsyncIterator[Archive]:
    """The service's entrances."""
    minter = AssertionMinter(load_or_create_ed25519(built.config.keys / "gateway.key"))
    asgi = httpx.ASGITransport(app=built.service.app)
    async with httpx.AsyncClient(transport=asgi, base_url="http://audit") as client:
        yield Archive(built.database, client, minter)


@pytest.fixture
async def owner(built: Built) -> AsyncIterator[asyncpg.Connection]:
    """A connection of the role that owns the tables."""
    connection = await asyncpg.connect(built.platform.urls["migrator"], server_settings={"search_path": "audit"})
    yield connection
    await connection.close()


@pytest.fixture
async def exporter(built: Built, archive: Archive) -> Exporter:
    """Exports of the archive."""
    return Exporter(built, archive)


@pytest.fixture
async def sinks(built: Built, archive: Archive) -> AsyncIterator[Sinks]:
    """Sinks of the archive that may reach this machine."""
    made = Sinks(built, archive, allowed=(ip_network("127.0.0.0/8"),))
    yield made
    await made.close()
