"""The moving window lets in exactly as many as it says, and says how many are left."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.errors import RateLimited
from services.gateway.access.limits import Limit
from services.gateway.access.windows import MovingWindows


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def limit(rate: str, clock: Clock, *, most_keys: int = 100) -> Limit:
    return Limit("caller", rate, windows=MovingWindows(most_keys=most_keys, clock=clock), clock=clock)


async def test_allowed_answers_tell_the_policy_and_what_is_left() -> None:
    one = limit("3/minute", Clock())
    assert dict((await one.take("a")).headers) == {
        b"ratelimit-policy": b'"caller";q=3;w=60',
        b"ratelimit": b'"caller";r=2;t=60',
    }
    assert dict((await one.take("a")).headers)[b"ratelimit"] == b'"caller";r=1;t=60'


async def test_one_too_many_is_refused_with_the_time_to_wait() -> None:
    clock = Clock()
    one = limit("2/minute", clock)
    await one.take("a")
    clock.now += 20
    await one.take("a")
    with pytest.raises(RateLimited) as refused:
        await one.take("a")
    assert refused.value.headers == {
        "Retry-After": "40", "RateLimit-Policy": '"caller";q=2;w=60', "RateLimit": '"caller";r=0;t=40',
    }  # fmt: skip
    clock.now += 40.001
    assert (await one.take("a")).headers


async def test_keys_do_not_share_a_window() -> None:
    one = limit("1/minute", Clock())
    await one.take("a")
    assert (await one.take("b")).headers


async def test_limits_of_two_names_do_not_share_a_window() -> None:
    clock = Clock()
    windows = MovingWindows(clock=clock)
    await Limit("login", "1/minute", windows=windows, clock=clock).take("a")
    assert (await Limit("caller", "1/minute", windows=windows, clock=clock).take("a")).headers


async def test_the_quietest_key_is_forgotten_when_there_are_too_many() -> None:
    clock = Clock()
    windows = MovingWindows(most_keys=2, clock=clock)
    for key in ("a", "b", "a", "c"):
        await windows.take(key, most=10, seconds=60)
    assert [windows.count(key) for key in "abc"] == [2, 0, 1]


@given(steps=st.lists(st.floats(0, 30), max_size=60), most=st.integers(1, 6))
async def test_no_window_of_a_minute_ever_holds_more_than_the_limit(steps: list[float], most: int) -> None:
    clock = Clock()
    one = limit(f"{most}/minute", clock)
    taken: list[float] = []
    for step in steps:
        clock.now += step
        try:
            await one.take("a")
        except RateLimited:
            assert len([at for at in taken if at > clock.now - 60]) == most
        else:
            taken.append(clock.now)
    assert all(len([at for at in taken if start <= at < start + 60]) <= most for start in taken)
