"""The platform as it is deployed: each service a process of its own, two gateways, a real Postgres and a real RabbitMQ."""

from collections.abc import AsyncIterator

import httpx
import pytest

from tests.demo.administrator import Administrator
from tests.support.platforms import running_services
from tests.support.postgres import PlatformDatabases
from tests.support.processes import Platform
from tests.support.stem import Stem
from tests.support.tcp_proxy import TcpProxy, proxied


@pytest.fixture(scope="package")
async def platform(
    stem: Stem, platform_databases: PlatformDatabases, rabbitmq: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Platform]:
    """Four services and a second gateway, running."""
    folder = tmp_path_factory.mktemp("platform")
    async with running_services(
        folder, databases=platform_databases, amqp_url=rabbitmq, launcher=stem, gateways=2
    ) as running:
        yield running


@pytest.fixture(scope="module")
async def cuttable(
    stem: Stem, platform_databases: PlatformDatabases, rabbitmq: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[Platform, TcpProxy]]:
    """Four services and a second gateway of a file's own, with the broker behind a proxy."""
    folder = tmp_path_factory.mktemp("cuttable")
    async with (
        proxied(rabbitmq, 5672) as (amqp_url, proxy),
        running_services(folder, databases=platform_databases, amqp_url=amqp_url, launcher=stem, gateways=2) as running,
    ):
        yield running, proxy


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
