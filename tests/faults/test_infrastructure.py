"""The broker and the database break below a platform at work: connections cut, sessions ended, servers killed.

Both are this file's own, so that nobody else's tests notice.
"""

import asyncio
import os
import signal
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from urllib.parse import urlsplit

import pytest

from libs.common.database.embedded import EmbeddedPostgres
from tests.faults.driver import Driver, driving, verdict_on
from tests.faults.observer import observing
from tests.support.platforms import four_services
from tests.support.postgres import PlatformDatabases
from tests.support.processes import SERVICES, Platform
from tests.support.rabbitmq import private_node
from tests.support.rabbitmq_node import PrivateNode
from tests.support.stem import Stem
from tests.support.tcp_proxy import TcpProxy, proxied

pytestmark = pytest.mark.timeout(1800)

RECOVERY_SECONDS = 60.0


@dataclass(slots=True)
class Site:
    """A platform with a broker and a database that may be broken."""

    platform: Platform
    node: PrivateNode
    postgres: EmbeddedPostgres
    proxy: TcpProxy
    data: Path

    async def restart_postgres(self) -> None:
        """kill -9 the server, and have it recover; it comes back on another port, behind the same one."""
        (note,) = self.data.rglob("postmaster.pid")
        os.kill(int(note.read_text().partition("\n")[0]), signal.SIGKILL)
        self.proxy.cut()
        await self.postgres.stop()
        self.postgres = EmbeddedPostgres(self.data)
        parts = urlsplit(await self.postgres.start())
        self.proxy.aim(str(parts.hostname), parts.port or 0)


@pytest.fixture(scope="module")
async def site(stem: Stem, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """Four running services on a private Postgres, behind a proxy, and a private RabbitMQ."""
    with tempfile.TemporaryDirectory(prefix="reeve-test-") as folder:
        data = Path(folder)
        # The account that root lends the server must be able to pass.
        data.chmod(0o755)
        postgres = EmbeddedPostgres(data)
        url = await postgres.start()
        async with private_node() as node, proxied(url, 5432) as (proxy_url, proxy):
            database = await PlatformDatabases(proxy_url).make(*SERVICES)
            platform = four_services(
                tmp_path_factory.mktemp("site"), database=database, amqp_url=node.url, launcher=stem
            )
            made = Site(platform, node, postgres, proxy, data)
            try:
                await platform.start()
                yield made
            finally:
                await platform.end()
                await made.postgres.stop()


async def _hold(driver: Driver, name: str, started: float) -> None:
    """Compare, after everything has healed by itself: no process ended, nobody intervened."""
    platform = driver.platform
    assert all(program.code is None for program in platform.programs.values()), "a process ended"
    verdict = await verdict_on(driver)
    print(f"{name}: {verdict}; {monotonic() - started:.1f} s")
    assert verdict.is_clean, str(verdict)
    assert verdict.ok > 0


async def test_cut_broker_connections_lose_nothing(site: Site, ledger_path: Path, repeats: int) -> None:
    started = monotonic()
    async with driving(site.platform, ledger_path) as driver:
        for _ in range(repeats):
            await driver.progress()
            driver.ledger.fault("close_all_connections")
            await site.node.control("close_all_connections", "a test")
        await driver.progress(within_seconds=RECOVERY_SECONDS)
    await _hold(driver, "broker connections", started)


async def test_a_killed_broker_loses_nothing(site: Site, ledger_path: Path, repeats: int) -> None:
    started = monotonic()
    async with driving(site.platform, ledger_path) as driver:
        for _ in range(max(1, repeats // 2)):
            await driver.progress()
            driver.ledger.fault("kill -9 of RabbitMQ")
            await site.node.kill()
            await driver.progress(4, within_seconds=RECOVERY_SECONDS)
            await site.node.start()
            await driver.progress(within_seconds=RECOVERY_SECONDS)
    await _hold(driver, "broker killed", started)


async def test_ended_database_sessions_lose_nothing(site: Site, ledger_path: Path, repeats: int) -> None:
    started, ended = monotonic(), 0
    async with driving(site.platform, ledger_path) as driver, observing(site.platform.admin_database) as observer:
        for _ in range(repeats):
            await driver.progress()
            for _ in range(5):
                driver.ledger.fault("pg_terminate_backend of some sessions")
                ended += await observer.end_sessions(4)
                await asyncio.sleep(0.1)
            driver.ledger.fault("pg_terminate_backend of all sessions")
            ended += await observer.end_sessions()
        await driver.progress(within_seconds=RECOVERY_SECONDS)
    assert ended >= repeats * 10
    await _hold(driver, f"{ended} database sessions", started)


async def test_a_killed_database_loses_nothing(site: Site, ledger_path: Path, repeats: int) -> None:
    started = monotonic()
    async with driving(site.platform, ledger_path) as driver:
        for _ in range(repeats):
            await driver.progress()
            driver.ledger.fault("kill -9 of Postgres")
            await site.restart_postgres()
            await driver.progress(within_seconds=RECOVERY_SECONDS)
    await _hold(driver, "database killed", started)
