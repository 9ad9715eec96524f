"""Limits that several gateways share, on a real Redis."""

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from limits import RateLimitItemPerHour
from redis.asyncio import Redis

from libs.common.errors import RateLimited
from libs.common.ids import new_id
from services.gateway.access.buckets import TokenBucketRateLimiter
from services.gateway.access.limits import Limit
from services.gateway.access.memory_buckets import MemoryBuckets
from services.gateway.access.redis_buckets import RedisBuckets
from services.gateway.access.shared_buckets import PAUSE_SECONDS, SHARED, SharedLimiter
from tests.support.eventually import eventually
from tests.support.redis import PrivateRedis, private_redis

PROCESSES = 4
MOST = 300
DAY = 86_400
GAPS = st.one_of(st.integers(0, 3), st.integers(0, 2 * DAY), st.integers(-DAY, 0), st.integers(-5 * DAY, -DAY))


@pytest.fixture
async def redis() -> AsyncIterator[PrivateRedis]:
    async with private_redis() as server:
        yield server


@pytest.fixture
async def timed(redis: PrivateRedis) -> tuple[RedisBuckets, "Clock"]:
    """Buckets in Redis by a clock of the test's."""
    clock = Clock()
    return RedisBuckets(redis.url, answer_seconds=5, clock=clock), clock


async def test_four_processes_together_let_in_no_more_than_one_would(redis: PrivateRedis) -> None:
    taker = "tests.integration.gateway.access.taker"
    arguments = ["-m", taker, redis.url, f"{MOST}/hour", "250"]
    processes = [
        await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=asyncio.subprocess.PIPE)
        for _ in range(PROCESSES)
    ]
    outputs = await asyncio.gather(*(one.communicate() for one in processes))
    allowed = [int(output) for output, _ in outputs]
    assert MOST <= sum(allowed) <= MOST * 1.05
    assert sum(amount > 0 for amount in allowed) > 1


async def test_the_headers_count_what_others_took(redis: PrivateRedis) -> None:
    one, other = (Limit("caller", "3/minute", limiter=SharedLimiter(redis.url)) for _ in range(2))
    await one.take("a")
    headers = dict((await other.take("a")).headers)
    assert headers[b"ratelimit"].startswith(b'"caller";r=1;t=')
    await one.take("a")
    with pytest.raises(RateLimited) as refused:
        await other.take("a")
    assert 1 <= int(refused.value.headers["Retry-After"]) <= 60


class Clock:
    def __init__(self) -> None:
        self.now = 1_795_000_000.123456

    def __call__(self) -> float:
        return self.now


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(asked=st.lists(st.tuples(GAPS, st.integers(0, 8)), max_size=25), amount=st.integers(1, 7))
async def test_redis_and_memory_count_alike(
    timed: tuple[RedisBuckets, Clock], asked: Sequence[tuple[int, int]], amount: int
) -> None:
    shared, clock = timed
    memory, key = MemoryBuckets(clock=clock), new_id()
    for gap, cost in asked:
        clock.now += gap
        taken = await shared.take_tokens(key, amount, DAY, cost=cost)
        assert taken == await memory.take_tokens(key, amount, DAY, cost=cost)
    await shared.clear(key)
    assert (await shared.take_tokens(key, amount, DAY)).tokens == amount - 1


async def test_the_clock_is_that_of_redis(redis: PrivateRedis) -> None:
    buckets = RedisBuckets(redis.url, answer_seconds=5)
    limiter, item = TokenBucketRateLimiter(buckets), RateLimitItemPerHour(3600 * 20)
    assert await limiter.hit(item, "a", cost=item.amount)
    assert not await limiter.hit(item, "a", cost=item.amount // 2)
    client = Redis.from_url(redis.url)
    kept = await client.get(buckets.bridge.prefixed_key(item.key_for("a")))
    assert isinstance(kept, bytes)
    at = kept.split()[1]
    seconds, microseconds = await client.time()
    assert 0 <= seconds + microseconds / 1e6 - float(at) < 5
    await eventually(lambda: limiter.hit(item, "a", cost=2))
    await client.aclose()


async def test_a_key_is_gone_a_minute_after_its_bucket_is_full(redis: PrivateRedis) -> None:
    buckets = RedisBuckets(redis.url, answer_seconds=5)
    client = Redis.from_url(redis.url)
    await buckets.take_tokens("a", 10, 100)
    assert 69_000 < await client.pttl("reeve:a") <= 70_000
    await buckets.take_tokens("a", 10, 100, cost=6)
    assert 129_000 < await client.pttl("reeve:a") <= 130_000
    assert not (await buckets.take_tokens("a", 10, 100, cost=6)).is_allowed
    assert 129_000 < await client.pttl("reeve:a") <= 130_000
    await buckets.take_tokens("b", 10, 100, cost=0)
    assert 59_000 < await client.pttl("reeve:b") <= 60_000
    await client.aclose()


async def test_a_cost_below_zero_fills_nothing(redis: PrivateRedis) -> None:
    buckets = RedisBuckets(redis.url, answer_seconds=5)
    with pytest.raises(ValueError, match="cost must be 0 or more, got -1"):
        await buckets.take_tokens("a", 10, 100, cost=-1)


async def test_taking_is_one_round_trip(redis: PrivateRedis) -> None:
    one = Limit("caller", "9/minute", limiter=SharedLimiter(redis.url))
    await one.take("a")
    client = Redis.from_url(redis.url)
    await client.config_resetstat()
    for _ in range(3):
        await one.take("a")
    calls = {name: told["calls"] for name, told in (await client.info("commandstats")).items()}
    # TIME, GET and SET are the script's own.
    assert {name: calls[f"cmdstat_{name}"] for name in ("evalsha", "time", "get", "set")} == {
        "evalsha": 3, "time": 3, "get": 3, "set": 3,
    }  # fmt: skip
    assert not calls.keys() & {"cmdstat_eval", "cmdstat_script|load", "cmdstat_hello"}
    await client.aclose()


async def test_a_redis_that_forgot_the_script_is_told_again(redis: PrivateRedis) -> None:
    one = Limit("caller", "9/minute", limiter=SharedLimiter(redis.url))
    await one.take("a")
    client = Redis.from_url(redis.url)
    await client.script_flush()
    headers = dict((await one.take("a")).headers)
    assert headers[b"ratelimit"].startswith(b'"caller";r=7;')
    assert SHARED._value.get() == 1
    await client.aclose()


async def test_while_redis_is_away_each_counts_for_itself_and_nobody_waits(redis: PrivateRedis) -> None:
    now = 0.0
    one = Limit("caller", "2/minute", limiter=SharedLimiter(redis.url, clock=lambda: now))
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
    limit = Limit("caller", "2/minute", limiter=SharedLimiter(f"redis://127.0.0.1:{port}/0"))
    async with server, asyncio.timeout(2):
        assert (await limit.take("a")).headers


async def test_the_steps_of_a_slow_redis_are_bounded_together(redis: PrivateRedis) -> None:
    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, pause_seconds: float) -> None:
        while data := await reader.read(65_536):
            await asyncio.sleep(pause_seconds)
            writer.write(data)
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers, questions = await asyncio.open_connection("127.0.0.1", redis.port)
        async with asyncio.TaskGroup() as group:
            group.create_task(forward(reader, questions, pause_seconds=0))
            group.create_task(forward(answers, writer, pause_seconds=0.3))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    limit = Limit("caller", "2/minute", limiter=SharedLimiter(f"redis://127.0.0.1:{port}/0", answer_seconds=0.5))
    async with server:
        # Each step is quick enough, and connecting, being told the script and answering are several.
        assert (await limit.take("a")).headers
    assert SHARED._value.get() == 0
