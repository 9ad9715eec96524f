"""A Redis of a test's own: started, killed and started again at one port; nothing of it is kept."""

import asyncio
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from tests.support.processes import free_port

START_SECONDS = 20.0
NONE_FOUND = "No Redis for the tests of shared limits: install one with `apt-get install redis-server`."


@dataclass(slots=True)
class PrivateRedis:
    """One server without persistence."""

    program: str
    port: int
    _server: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"redis://127.0.0.1:{self.port}/0"

    async def start(self) -> None:
        """Start it and return when it answers."""
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", "/tmp"]
        self._server = subprocess.Popen([self.program, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        client = Redis.from_url(self.url, socket_connect_timeout=1)
        try:
            async with asyncio.timeout(START_SECONDS):
                while not await _answers(client):
                    await asyncio.sleep(0.02)
        finally:
            await client.aclose()

    def kill(self) -> None:
        """SIGKILL, if it runs."""
        if self._server is not None:
            self._server.kill()
            self._server.wait()
            self._server = None


@asynccontextmanager
async def private_redis() -> AsyncIterator[PrivateRedis]:
    """A running server; where none is installed, Debian's package, else the test fails."""
    server = PrivateRedis(_found(), free_port())
    try:
        await server.start()
        yield server
    finally:
        server.kill()


def _found() -> str:
    program = shutil.which("redis-server")
    if program is None and os.geteuid() == 0 and shutil.which("apt-get"):
        subprocess.run(["apt-get", "install", "-qq", "-y", "redis-server"], check=False, timeout=300)
        program = shutil.which("redis-server")
    if program is None:
        pytest.fail(NONE_FOUND)
    return program


async def _answers(client: Redis) -> bool:
    try:
        return bool(await client.ping())
    except (RedisError, OSError):
        return False
