"""What every lane may ask for: a real Postgres with fresh databases, a real RabbitMQ with fresh namespaces."""

import gc
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from hypothesis import settings

from libs.common.database.engine import Database
from tests.support.postgres import PlatformDatabase, PlatformDatabases, found_postgres
from tests.support.stem import Stem, growing

pytest_plugins = ("tests.support.rabbitmq_fixtures",)

# A machine that is busy makes any example slow now and then: no claim here is about time.
settings.register_profile("full", deadline=None)
settings.register_profile(
    "quick", deadline=None, max_examples=3, database=None
)  # for `make unit`, between two keystrokes
settings.load_profile("full")

VECTORS = Path(os.environ.get("REEVE_TEST_VECTORS", Path(__file__).resolve().parents[2] / "shared" / "vectors"))
GO_MODULES = Path("/usr/share/gocode/src/golang.org/x/mod")  # where Debian's golang-golang-x-mod-dev puts it


@pytest.fixture(scope="session")
async def postgres() -> AsyncIterator[str]:
    """The URL of an administrator of a running Postgres."""
    async with found_postgres() as url:
        yield url


@pytest.fixture(scope="session")
async def platform_databases(postgres: str) -> AsyncIterator[PlatformDatabases]:
    """The maker behind `platform_db`, with this worker's own roles."""
    databases = PlatformDatabases(postgres, waits_for_disk=False)
    yield databases
    await databases.close()


@pytest.fixture(scope="session")
async def stem() -> AsyncIterator[Stem]:
    """Starts services quickly."""
    async with growing() as one:
        yield one


@pytest.fixture
async def platform_db(
    platform_databases: PlatformDatabases,
) -> AsyncIterator[Callable[..., Awaitable[PlatformDatabase]]]:
    """Make a fresh platform database with the schemas of the named services: `await platform_db("audit")`."""
    made: list[PlatformDatabase] = []

    async def make(*services: str) -> PlatformDatabase:
        made.append(await platform_databases.make(*services))
        return made[-1]

    yield make
    for database in made:
        await platform_databases.give_back(database)


@pytest.fixture
async def database_for(
    platform_db: Callable[..., Awaitable[PlatformDatabase]],
) -> AsyncIterator[Callable[..., Awaitable[Database]]]:
    """Open a service's own pool on this test's platform database: `await database_for("audit")`."""
    platform: list[PlatformDatabase] = []
    opened: list[Database] = []

    async def open_for(service: str, *, pool_size: int = 10, statement_timeout_seconds: float = 10) -> Database:
        if not platform:
            platform.append(await platform_db(service))
        await platform[0].migrate(service)
        opened.append(
            platform[0].database(service, pool_size=pool_size, statement_timeout_seconds=statement_timeout_seconds)
        )
        return opened[-1]

    yield open_for
    for database in opened:
        await database.close()


# What is imported stays to the end: looking through it for rubbish again and again takes longer than the rubbish is worth.
gc.disable()


def pytest_collection_finish() -> None:
    """From here on the collector looks at what tests leave behind, and at nothing that was there before."""
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what needs something from outside where that is not at hand, and say so in one line each."""
    if not VECTORS.exists():
        _leave_out(
            config,
            items,
            "published_vectors",
            f"the published test vectors are not at hand in {VECTORS} (REEVE_TEST_VECTORS)",
        )
    if shutil.which("go") is None or not GO_MODULES.exists():
        _leave_out(
            config,
            items,
            "needs_go",
            "Go and golang.org/x/mod are not installed (Debian: golang-go golang-golang-x-mod-dev)",
        )


def _leave_out(config: pytest.Config, items: list[pytest.Item], marker: str, why: str) -> None:
    needing = [item for item in items if item.get_closest_marker(marker)]
    if needing:
        config.hook.pytest_deselected(items=needing)
        items[:] = [item for item in items if item not in needing]
        print(f"{why}: {len(needing)} tests left out")
