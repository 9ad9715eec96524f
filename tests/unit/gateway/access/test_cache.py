"""The cache loads once, forgets in time, and never keeps what an eviction made untrue."""

import asyncio

import pytest

from libs.common.errors import Unauthenticated, Unavailable
from services.gateway.access.cache import ShortCache


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def cache(clock: Clock | None = None, *, most_keys: int = 10) -> ShortCache[str]:
    return ShortCache(ttl_seconds=5, most_keys=most_keys, clock=clock or Clock())


class Source:
    """Loads that wait until they are let go."""

    def __init__(self, value: str = "v") -> None:
        self.value = value
        self.loads = 0
        self.go = asyncio.Event()

    async def __call__(self) -> str:
        self.loads += 1
        value = self.value
        await self.go.wait()
        return value


async def test_a_value_is_kept_for_its_time_and_no_longer() -> None:
    clock = Clock()
    kept = cache(clock)
    source = Source()
    source.go.set()
    await kept.load("a", source)
    clock.now = 4.9
    assert kept.find("a") == "v"
    clock.now = 5
    assert kept.find("a") is None


async def test_many_who_ask_at_once_share_one_load() -> None:
    kept, source = cache(), Source()
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(kept.load("a", source)) for _ in range(20)]
        await asyncio.sleep(0)
        source.go.set()
    assert [task.result() for task in tasks] == ["v"] * 20
    assert source.loads == 1


async def test_a_load_that_began_before_an_eviction_is_not_kept() -> None:
    for evict in ({"key": "a"}, {"where": lambda value: True}, {"key": "other"}, {}):
        kept, source = cache(), Source("old")
        async with asyncio.TaskGroup() as group:
            task = group.create_task(kept.load("a", source))
            await asyncio.sleep(0)
            kept.evict(**evict)
            source.go.set()
        assert task.result() == "old"
        assert kept.find("a") is None


async def test_whoever_asks_after_an_eviction_does_not_join_the_load_from_before() -> None:
    kept, before, after = cache(), Source("old"), Source("new")
    async with asyncio.TaskGroup() as group:
        group.create_task(kept.load("a", before))
        await asyncio.sleep(0)
        kept.evict("a")
        second = group.create_task(kept.load("a", after))
        await asyncio.sleep(0)
        after.go.set()
        await asyncio.sleep(0.01)
        before.go.set()
    assert second.result() == "new"
    assert kept.find("a") == "new"


async def test_an_error_reaches_everybody_who_waited_and_is_not_kept() -> None:
    kept = cache()
    go = asyncio.Event()

    async def fails() -> str:
        await go.wait()
        raise RuntimeError("gone")

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_outcome(kept, fails)) for _ in range(3)]
        await asyncio.sleep(0)
        go.set()
    assert [task.result() for task in tasks] == ["gone"] * 3
    source = Source()
    source.go.set()
    assert await kept.load("a", source) == "v"


async def _outcome(kept: ShortCache[str], load: object) -> str:
    try:
        return await kept.load("a", load)  # type: ignore[arg-type]
    except RuntimeError as error:
        return str(error)


async def test_when_the_one_who_loads_goes_away_the_next_loads() -> None:
    kept, source = cache(), Source()
    first = asyncio.ensure_future(kept.load("a", source))
    await asyncio.sleep(0)
    second = asyncio.ensure_future(kept.load("a", source))
    await asyncio.sleep(0)
    first.cancel()
    source.go.set()
    assert await second == "v"
    assert source.loads == 2
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_only_values_that_fit_are_evicted() -> None:
    kept = cache()
    for name in ("a", "b"):
        source = Source(name)
        source.go.set()
        await kept.load(name, source)
    kept.evict(where=lambda value: value == "a")
    assert (kept.find("a"), kept.find("b")) == (None, "b")


async def test_the_number_of_values_is_bounded() -> None:
    kept = cache(most_keys=3)
    source = Source()
    source.go.set()
    for name in "abcdef":
        await kept.load(name, source)
    assert [name for name in "abcdef" if kept.find(name)] == ["d", "e", "f"]


@pytest.mark.parametrize(("lapses_in", "kept_seconds"), [("2", 2.0), ("60", 5.0), ("-1", 0.0), ("0", 0.0)])
async def test_a_value_is_kept_no_longer_than_it_says_of_itself(lapses_in: str, kept_seconds: float) -> None:
    clock = Clock()
    kept: ShortCache[str] = ShortCache(ttl_seconds=5, clock=clock, lapses_in=float)
    source = Source(lapses_in)
    source.go.set()
    assert await kept.load("k", source) == lapses_in
    clock.now = max(0.0, kept_seconds - 0.01)
    assert kept.find("k") == (lapses_in if kept_seconds else None)
    clock.now = kept_seconds
    assert kept.find("k") is None


async def test_what_is_asked_for_often_is_loaded_again_before_it_is_too_old() -> None:
    clock = Clock()
    kept, source = cache(clock), Source()
    source.go.set()
    await kept.load("a", source)
    clock.now = 2.4
    assert kept.find("a", renew=source) == "v"
    await asyncio.sleep(0)
    assert source.loads == 1
    source.value, clock.now = "w", 2.5
    assert [kept.find("a", renew=source) for _ in range(3)] == ["v", "v", "v"]
    await asyncio.sleep(0)
    assert (source.loads, kept.find("a")) == (2, "w")
    clock.now = 7.4
    assert kept.find("a") == "w"


async def test_an_eviction_during_a_renewal_is_not_undone_by_it() -> None:
    clock = Clock()
    kept, source = cache(clock), Source()
    source.go.set()
    await kept.load("a", source)
    source.go.clear()
    clock.now = 3
    kept.find("a", renew=source)
    await asyncio.sleep(0)
    kept.evict("a")
    source.go.set()
    await asyncio.sleep(0)
    assert kept.find("a") is None


async def test_a_renewal_that_learns_that_it_holds_no_more_ends_it_and_one_that_learns_nothing_does_not() -> None:
    for error, left in ((Unavailable("gone"), "v"), (Unauthenticated("ended"), None)):
        clock = Clock()
        kept, source = cache(clock), Source()
        source.go.set()
        await kept.load("a", source)

        async def fail(error: Exception = error) -> str:
            raise error

        clock.now = 3
        assert kept.find("a", renew=fail) == "v"
        await asyncio.sleep(0)
        assert kept.find("a") == left
        clock.now = 5
        assert kept.find("a") is None


async def test_nothing_is_renewed_after_the_end() -> None:
    clock, before = Clock(), asyncio.all_tasks()
    kept, source = cache(clock), Source()
    source.go.set()
    await kept.load("a", source)
    source.go.clear()
    clock.now = 3
    kept.find("a", renew=source)
    await asyncio.sleep(0)
    kept.close()
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before
