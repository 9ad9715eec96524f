"""A small cache with a short life, one load at a time per key, and evictions that loads cannot undo."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from libs.common.errors import Unavailable

Value = TypeVar("Value")


class _Abandoned(Exception):
    """Whoever was loading went away; the next one in line loads."""


@dataclass(frozen=True, slots=True)
class _Kept(Generic[Value]):
    value: Value
    until: float
    old_at: float


class ShortCache(Generic[Value]):
    """Values by key for a few seconds. Whoever asks while a key is loaded waits for that load.

    A load that was under way when something was evicted still answers those who wait for it, but is
    not kept: what it read may be older than the eviction. `lapses_in` says for how many seconds a value may
    be kept at most, where that can be less than `ttl_seconds`; None says nothing.
    """

    def __init__(
        self,
        *,
        ttl_seconds: float,
        most_keys: int = 20_000,
        clock: Callable[[], float] = time.monotonic,
        lapses_in: Callable[[Value], float | None] = lambda value: None,
    ) -> None:
        self._ttl_seconds = ttl_seconds
        self._lapses_in = lapses_in
        self._most_keys = most_keys
        self._clock = clock
        self._kept: OrderedDict[str, _Kept[Value]] = OrderedDict()
        self._loading: dict[str, asyncio.Future[Value]] = {}
        self._evictions = 0
        self._renewals: dict[str, asyncio.Task[None]] = {}

    def find(self, key: str, *, renew: Callable[[], Awaitable[Value]] | None = None) -> Value | None:
        """The value, if it is there and not too old.

        One that is past the half of its time is loaded again by `renew`, behind the back of whoever asks: what is
        asked for often is always there, and never older than its time.
        """
        kept = self._kept.get(key)
        if kept is None or kept.until <= (now := self._clock()):
            return None
        if renew is not None and kept.old_at <= now and key not in self._renewals:
            self._renewals[key] = asyncio.create_task(self._renew(key, renew))
        return kept.value

    async def load(self, key: str, load: Callable[[], Awaitable[Value]]) -> Value:
        """Load and keep a value. An error of the load goes to everybody who waited for it, and nothing is kept."""
        while (under_way := self._loading.get(key)) is not None:
            try:
                return await asyncio.shield(under_way)
            except _Abandoned:
                continue
        future: asyncio.Future[Value] = asyncio.get_running_loop().create_future()
        self._loading[key] = future
        evictions = self._evictions
        try:
            value = await load()
        except BaseException as error:
            future.set_exception(error if isinstance(error, Exception) else _Abandoned())
            future.exception()  # Read once, so that a failure nobody waited for is not reported as forgotten.
            raise
        else:
            future.set_result(value)
            if evictions == self._evictions:
                self._keep(key, value)
            return value
        finally:
            if self._loading.get(key) is future:
                del self._loading[key]

    def evict(self, key: str | None = None, *, where: Callable[[Value], bool] | None = None) -> None:
        """Forget one key, every value that fits, or (with neither) everything."""
        self._evictions += 1
        if key is not None:
            self._loading.pop(key, None)
            self._kept.pop(key, None)
            return
        self._loading.clear()
        for name in [name for name, kept in self._kept.items() if where is None or where(kept.value)]:
            del self._kept[name]

    def close(self) -> None:
        """Load nothing more behind anybody's back."""
        for renewal in self._renewals.values():
            renewal.cancel()

    async def _renew(self, key: str, load: Callable[[], Awaitable[Value]]) -> None:
        try:
            await self.load(key, load)
        except Unavailable:
            pass  # Kept for the rest of its time; whoever asks after that is told.
        except Exception:
            self._kept.pop(key, None)
        finally:
            del self._renewals[key]

    def _keep(self, key: str, value: Value) -> None:
        lapses_in = self._lapses_in(value)
        seconds = self._ttl_seconds if lapses_in is None else min(lapses_in, self._ttl_seconds)
        now = self._clock()
        self._kept[key] = _Kept(value, now + seconds, now + seconds / 2)
        self._kept.move_to_end(key)
        if len(self._kept) > self._most_keys:
            self._kept.popitem(last=False)
