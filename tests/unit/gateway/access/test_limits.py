"""A limit says in its headers how much is left and when there is more, and refuses what is too much."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.errors import RateLimited
from services.gateway.access.buckets import TokenBucketRateLimiter
from services.gateway.access.limits import Limit
from services.gateway.access.memory_buckets import MemoryBuckets


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def limit(rate: str, clock: Clock) -> Limit:
    return Limit("caller", rate, limiter=TokenBucketRateLimiter(MemoryBuckets(clock=clock)))


async def state_of(one: Limit, key: str = "a") -> str:
    return dict((await one.take(key)).headers)[b"ratelimit"].decode()


async def test_allowed_answers_tell_the_policy_what_is_left_and_when_all_of_it_is_there_again() -> None:
    clock = Clock()
    one = limit("3/minute", clock)
    assert dict((await one.take("a")).headers) == {
        b"ratelimit-policy": b'"caller";q=3;w=60',
        b"ratelimit": b'"caller";r=2;t=20',
    }
    assert await state_of(one) == '"caller";r=1;t=40'
    clock.now += 10
    assert await state_of(one) == '"caller";r=0;t=50'


async def test_one_too_many_is_refused_with_the_time_to_wait() -> None:
    clock = Clock()
    one = limit("2/minute", clock)
    await one.take("a")
    await one.take("a")
    clock.now += 20
    with pytest.raises(RateLimited) as refused:
        await one.take("a")
    assert refused.value.headers == {
        "Retry-After": "10", "RateLimit-Policy": '"caller";q=2;w=60', "RateLimit": '"caller";r=0;t=10',
    }  # fmt: skip
    clock.now += 9
    with pytest.raises(RateLimited):
        await one.take("a")
    clock.now += 1.001
    assert await state_of(one) == '"caller";r=0;t=60'


async def test_the_whole_amount_may_come_at_once_and_then_its_rate() -> None:
    clock = Clock()
    one = limit("1200/minute", clock)
    for _ in range(1200):
        await one.take("a")
    for _ in range(3):
        clock.now += 0.0501
        assert await state_of(one) == '"caller";r=0;t=60'
        with pytest.raises(RateLimited) as refused:
            await one.take("a")
        assert refused.value.headers["Retry-After"] == "1"


async def test_a_period_may_be_several_units() -> None:
    clock = Clock()
    one = limit("2 per 5 minute", clock)
    assert dict((await one.take("a")).headers)[b"ratelimit-policy"] == b'"caller";q=2;w=300'
    assert await state_of(one) == '"caller";r=0;t=300'


async def test_keys_do_not_share_a_bucket() -> None:
    one = limit("1/minute", Clock())
    await one.take("a")
    assert (await one.take("b")).headers


async def test_limits_of_two_names_or_rates_do_not_share_a_bucket() -> None:
    limiter = TokenBucketRateLimiter(MemoryBuckets(clock=Clock()))
    await Limit("login", "1/minute", limiter=limiter).take("a")
    assert (await Limit("caller", "1/minute", limiter=limiter).take("a")).headers
    assert (await Limit("login", "2/minute", limiter=limiter).take("a")).headers
    with pytest.raises(RateLimited):
        await Limit("login", "1/minute", limiter=limiter).take("a")


@given(steps=st.lists(st.floats(0, 30), max_size=30), amount=st.integers(1, 7))
async def test_whoever_waits_as_long_as_told_is_let_in(steps: list[float], amount: int) -> None:
    clock = Clock()
    one = limit(f"{amount}/minute", clock)
    for step in [*steps, 0.0]:
        clock.now += step
        try:
            await one.take("a")
        except RateLimited as refused:
            waits = int(refused.headers["Retry-After"])
            assert 1 <= waits <= 60
            # A client's clock runs on while its request is on the way.
            clock.now += waits + 2e-6
            await one.take("a")
