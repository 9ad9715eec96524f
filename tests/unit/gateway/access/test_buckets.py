"""A token bucket lets through what its definition says, to the request, whatever its clock does."""

import time
from collections.abc import Sequence
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage

from services.gateway.access.buckets import Bucket, TokenBucketRateLimiter, draw
from services.gateway.access.memory_buckets import MemoryBuckets

SECONDS = 60
GAPS = st.one_of(
    st.just(0.0),
    st.floats(0, 5),
    st.floats(0, 3 * SECONDS),
    st.floats(-2, 0),
    st.floats(-5 * SECONDS, -SECONDS),
    st.sampled_from([1e-9, 86_400.0, 1e9]),
)
ASKED = st.lists(st.tuples(GAPS, st.integers(0, 8)), max_size=40)
NEARLY = 1e-6


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Model:
    """The bound itself: what may still pass is the least that any interval up to now leaves. All that passed is kept.

    An interval is measured on the latest times seen, so that no second counts twice; a clock that was set back by more
    than the period moves the past along.
    """

    def __init__(self, amount: int) -> None:
        self._amount = amount
        self._latest: Fraction | None = None
        self._passed: list[tuple[Fraction, int]] = []

    def tokens(self, now: float) -> Fraction:
        """How many may pass now."""
        at = Fraction(now)
        if self._latest is None or at > self._latest:
            self._latest = at
        elif self._latest - at > SECONDS:
            self._passed = [(then - (self._latest - at), cost) for then, cost in self._passed]
            self._latest = at
        left, cost = Fraction(self._amount), 0
        for then, one in reversed(self._passed):
            cost += one
            left = min(left, self._amount + (self._latest - then) * self._amount / SECONDS - cost)
        return left

    def take(self, cost: int) -> None:
        """Let `cost` pass at the time that was asked about last."""
        assert self._latest is not None
        self._passed.append((self._latest, cost))


@given(asked=ASKED, amount=st.integers(1, 6))
def test_what_passes_is_what_every_interval_leaves(asked: Sequence[tuple[float, int]], amount: int) -> None:
    model, bucket, now = Model(amount), None, 1000.0
    for gap, cost in asked:
        now += gap
        may = model.tokens(now)
        is_allowed, bucket = draw(bucket, now, amount=amount, seconds=SECONDS, cost=cost)
        if abs(may - cost) > NEARLY:
            assert is_allowed == (cost <= may)
        if is_allowed:
            model.take(cost)
        assert abs(bucket[0] - (may - cost if is_allowed else may)) < NEARLY


@given(asked=ASKED, amount=st.integers(1, 6))
def test_no_interval_lets_through_more_than_the_amount_and_its_share(
    asked: Sequence[tuple[float, int]], amount: int
) -> None:
    bucket: Bucket | None = None
    now, passed = 1000.0, []
    for gap, cost in asked:
        # Forward alone: an interval is then one of the clock.
        now += abs(gap)
        is_allowed, bucket = draw(bucket, now, amount=amount, seconds=SECONDS, cost=cost)
        if is_allowed:
            passed.append((now, cost))
    for first in range(len(passed)):
        total = 0
        for then, cost in passed[first:]:
            total += cost
            assert total <= amount + (then - passed[first][0]) * amount / SECONDS + NEARLY


def test_a_refused_request_takes_nothing() -> None:
    assert draw((2.5, 10.0), 10.0, amount=5, seconds=SECONDS, cost=3) == (False, (2.5, 10.0))
    assert draw((2.5, 10.0), 10.0, amount=5, seconds=SECONDS, cost=2) == (True, (0.5, 10.0))


def test_more_than_a_full_bucket_never_passes() -> None:
    assert draw(None, 10.0, amount=5, seconds=SECONDS, cost=6) == (False, (5.0, 10.0))
    assert draw((0.0, 10.0), 1e9, amount=5, seconds=SECONDS, cost=6) == (False, (5.0, 1e9))


def test_a_clock_that_goes_back_fills_nothing_and_the_same_second_fills_once() -> None:
    bucket: Bucket = (0.0, 100.0)
    for now in (90.0, 100.0, 95.0, 100.0):
        is_allowed, bucket = draw(bucket, now, amount=60, seconds=SECONDS, cost=1)
        assert (is_allowed, bucket) == (False, (0.0, 100.0))
    assert draw(bucket, 101.0, amount=60, seconds=SECONDS, cost=1) == (True, (0.0, 101.0))


def test_a_clock_that_was_set_back_far_is_believed() -> None:
    _, bucket = draw((0.0, 1e6), 10.0, amount=60, seconds=SECONDS, cost=1)
    assert bucket == (0.0, 10.0)
    assert draw(bucket, 11.0, amount=60, seconds=SECONDS, cost=1)[0]


def test_a_cost_below_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="cost must be 0 or more, got -1"):
        draw(None, 0.0, amount=1, seconds=1, cost=-1)


async def test_the_strategy_has_what_a_strategy_of_the_library_has() -> None:
    clock = Clock()
    limiter, item = TokenBucketRateLimiter(MemoryBuckets(clock=clock)), RateLimitItemPerMinute(6)
    assert await limiter.hit(item, "a", "b", cost=4)
    assert await limiter.test(item, "a", "b", cost=2)
    assert not await limiter.test(item, "a", "b", cost=3)
    assert not await limiter.hit(item, "a", "b", cost=3)
    reset, remaining = await limiter.get_window_stats(item, "a", "b")
    assert remaining == 2
    assert reset - time.time() == pytest.approx(40, abs=5)
    assert (await limiter.get_window_stats(item, "b")).remaining == 6
    await limiter.clear(item, "a", "b")
    assert (await limiter.get_window_stats(item, "a", "b")).remaining == 6


async def test_resetting_the_storage_fills_every_bucket() -> None:
    buckets = MemoryBuckets(clock=Clock())
    for key in ("a", "b"):
        await buckets.take_tokens(key, 1, SECONDS)
    assert await buckets.reset() == 2
    assert (await buckets.take_tokens("a", 1, SECONDS)).is_allowed


async def test_a_storage_without_buckets_is_refused() -> None:
    with pytest.raises(NotImplementedError, match="MemoryStorage keeps no token buckets"):
        TokenBucketRateLimiter(MemoryStorage())


async def test_the_quietest_key_is_forgotten_when_there_are_too_many() -> None:
    buckets = MemoryBuckets(most_keys=2, clock=Clock())
    for key in ("a", "b", "a", "c"):
        await buckets.take_tokens(key, 10, SECONDS)
    assert [(await buckets.take_tokens(key, 10, SECONDS, cost=0)).tokens for key in "ac"] == [8, 9]
    assert (await buckets.take_tokens("b", 10, SECONDS, cost=0)).tokens == 10


async def test_any_number_of_requests_keeps_two_numbers_a_key() -> None:
    buckets = MemoryBuckets(clock=Clock())
    for _ in range(1000):
        await buckets.take_tokens("a", 500, SECONDS)
    assert dict(buckets._buckets) == {"a": (0.0, 1000.0)}


async def test_the_lag_of_a_clock_that_went_back_is_told() -> None:
    clock = Clock()
    buckets = MemoryBuckets(clock=clock)
    await buckets.take_tokens("a", 1, SECONDS)
    clock.now -= 7
    taken = await buckets.take_tokens("a", 1, SECONDS)
    assert (taken.is_allowed, taken.lag_seconds) == (False, 7)
    assert taken.seconds_until(1, amount=1, seconds=SECONDS) == 67
