"""Limits that several gateways share, on a real Redis."""

import asyncio
import sys
from collections.abc import AsyncIterator

import pytest

from libs.common.errors import RateLimited
from services.gateway.access.limits import Limit
from services.gateway.access.shared_windows import PAUSE_SECONDS, SHARED, SharedWindows
from tests.support.redis import PrivateRedis, private_redis

PROCESSES = 4
MOST = 300


@pytest.fixture
async def redis() -> AsyncIterator[PrivateRedis]:
    async with private_redis() as server:
        yield server


async def test_four_processes_together_let_in_no_more_than_one_would(redis: PrivateRedis) -> None:
    taker = "tests.integration.gateway.access.taker"
    arguments = ["-m", taker, redis.url, f"{MOST}/hour", "250"]
    processes = [
        await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=asyncio.subprocess.PIPE)
        for _ in range(PROCESSES)
    ]
    outputs = await asyncio.gather(*(one.communicate() for one in processes))
    allowed = [int(output) for output, _ in outputs]
    assert sum(allowed) == MOST
    assert sum(amount > 0 for amount in allowed) > 1


async def test_the_headers_count_what_others_took(redis: PrivateRedis) -> None:
    one, other = (Limit("caller", "3/minute", windows=SharedWindows(redis.url)) for _ in range(2))
    await one.take("a")
    headers = dict((await other.take("a")).headers)
    assert headers[b"ratelimit"].startswith(b'"caller";r=1;t=')
    await one.take("a")
    with pytest.raises(RateLimited) as refused:
        await other.take("a")
    assert 1 <= int(refused.value.headers["Retry-After"]) <= 60


async def test_while_redis_is_away_each_counts_for_itself_and_nobody_waits(redis: PrivateRedis) -> None:
    now = 0.0
    one = Limit("caller", "2/minute", windows=SharedWindows(redis.url, clock=lambda: now))
    await one.take("a")
    redis.kill()
    async with asyncio.timeout(2):
        for _ in range(2):
            await one.take("a")
        with pytest.raises(RateLimited):
            await one.take("a")
    assert SHARED._value.get() == 0
    await redis.start()
    now += PAUSE_SECONDS
    assert (await one.take("a")).headers
    assert SHARED._value.get() == 1


async def test_a_redis_that_hangs_is_not_waited_for(redis: PrivateRedis) -> None:
    async def keep_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(keep_silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    limit = Limit("caller", "2/minute", windows=SharedWindows(f"redis://127.0.0.1:{port}/0"))
    async with server, asyncio.timeout(2):
        assert (await limit.take("a")).headers
