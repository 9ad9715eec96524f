"""The platform as it is deployed: each service a process of its own, two gateways, a real Postgres and a real RabbitMQ."""

from collections.abc import AsyncIterator

import httpx
import pytest

from tests.demo.administrator import Administrator
from tests.support.platforms import four_services
from tests.support.postgres import PlatformDatabases
from tests.support.processes import SERVICES, Platform
from tests.support.rabbitmq import remove_namespace
from tests.support.stem import Stem, growing


@pytest.fixture(scope="session")
async def stem() -> AsyncIterator[Stem]:
    """Starts services quickly."""
    async with growing() as one:
        yield one


@pytest.fixture(scope="session")
async def platform(
    stem: Stem, platform_databases: PlatformDatabases, rabbitmq: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Platform]:
    """Four services and a second gateway, running."""
    database = await platform_databases.make(*SERVICES)
    made = four_services(
        tmp_path_factory.mktemp("platform"), database=database, amqp_url=rabbitmq, launcher=stem, gateways=2
    )
    try:
        await made.start()
        yield made
    finally:
        await made.end()
        await remove_namespace(rabbitmq, made.namespace)
        await platform_databases.drop(database)


@pytest.fixture
async def http(platform: Platform) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the gateway."""
    await platform.revive()
    async with httpx.AsyncClient(base_url=platform.url, timeout=15, headers={"user-agent": "e2e/1"}) as client:
        yield client


@pytest.fixture
async def admin(platform: Platform, http: httpx.AsyncClient) -> Administrator:
    """The first super admin, signed in."""
    return await Administrator.sign_in(http, email=platform.email, password=platform.password)
