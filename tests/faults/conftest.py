"""A platform of processes to be broken, one for each worker of the test run."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.platforms import running_services
from tests.support.postgres import PlatformDatabases
from tests.support.processes import Platform
from tests.support.stem import Stem


@pytest.fixture(scope="session")
def repeats() -> int:
    """How often each fault is repeated: `REEVE_TEST_REPEATS`, 2 when it is not set."""
    return int(os.environ.get("REEVE_TEST_REPEATS", "2"))


@pytest.fixture(scope="package")
async def shared_platform(
    stem: Stem, platform_databases: PlatformDatabases, rabbitmq: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Platform]:
    """Four running services on the shared Postgres and RabbitMQ."""
    folder = tmp_path_factory.mktemp("platform")
    async with running_services(folder, databases=platform_databases, amqp_url=rabbitmq, launcher=stem) as running:
        yield running


@pytest.fixture
async def platform(shared_platform: Platform) -> Platform:
    """The shared platform, all of it alive."""
    await shared_platform.revive()
    return shared_platform


@pytest.fixture
def ledger_path(tmp_path: Path) -> Path:
    """Where a test's ledger lies; pytest keeps the last few."""
    return tmp_path / "ledger.jsonl"
