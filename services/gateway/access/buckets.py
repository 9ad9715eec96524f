"""Token buckets, as a strategy of the `limits` library, which has none.

A key's bucket holds `amount` tokens and fills continuously by that many in the limit's period; what is asked takes its
cost out, or is refused and takes nothing. So at once the whole amount may pass, and within any t seconds no more than
amount + amount * t / period (the continuous-state leaky bucket of ITU-T I.371, A.1, told in tokens). A key's state is
two numbers: the tokens, and when they were counted.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable
from typing import NamedTuple, Protocol

from limits import RateLimitItem, WindowStats
from limits.aio.storage import Storage
from limits.aio.strategies import RateLimiter

Bucket = tuple[float, float]
"""Tokens, and when there were so many, in seconds of the clock of whoever keeps them."""


class Taken(NamedTuple):
    """What asking for some tokens came to."""

    is_allowed: bool
    tokens: float
    """How many are there now."""
    lag_seconds: float = 0.0
    """For how long the bucket does not fill, because its clock went back."""

    def seconds_until(self, tokens: float, *, amount: int, seconds: int) -> float:
        """In how many seconds a bucket that fills by `amount` in `seconds` holds `tokens`, if nobody takes any."""
        return self.lag_seconds + max(0.0, tokens - self.tokens) * seconds / amount


class TokenBucketSupport(ABC):
    """What a storage of the library has besides, if it can keep buckets."""

    @abstractmethod
    async def take_tokens(self, key: str, amount: int, seconds: int, *, cost: int = 1) -> Taken:
        """Take `cost` tokens, or none where there are fewer; a `cost` of 0 only looks. One step for whoever else asks."""


class Limiter(Protocol):
    """Whoever counts requests against limits."""

    def take(self, item: RateLimitItem, *identifiers: str, cost: int = 1) -> Awaitable[Taken]:
        """Take `cost` tokens of the bucket of `identifiers` under this limit, or none where there are fewer."""


class TokenBucketRateLimiter(RateLimiter):
    """The strategy, over a storage that can keep buckets."""

    def __init__(self, storage: Storage) -> None:
        if not isinstance(storage, TokenBucketSupport):
            raise NotImplementedError(f"{type(storage).__name__} keeps no token buckets")
        super().__init__(storage)
        self._buckets: TokenBucketSupport = storage

    def take(self, item: RateLimitItem, *identifiers: str, cost: int = 1) -> Awaitable[Taken]:
        """Take `cost` tokens of the bucket of `identifiers` under this limit, or none where there are fewer."""
        return self._buckets.take_tokens(item.key_for(*identifiers), item.amount, item.get_expiry(), cost=cost)

    async def hit(self, item: RateLimitItem, *identifiers: str, cost: int = 1) -> bool:
        """Whether `cost` tokens were there and taken."""
        return (await self.take(item, *identifiers, cost=cost)).is_allowed

    async def test(self, item: RateLimitItem, *identifiers: str, cost: int = 1) -> bool:
        """Whether `cost` tokens are there; takes none."""
        return (await self.take(item, *identifiers, cost=0)).tokens >= cost

    async def get_window_stats(self, item: RateLimitItem, *identifiers: str) -> WindowStats:
        """When the bucket is full again, as a Unix time, and how many whole tokens are there; takes none."""
        taken = await self.take(item, *identifiers, cost=0)
        full = taken.seconds_until(item.amount, amount=item.amount, seconds=item.get_expiry())
        return WindowStats(time.time() + full, int(taken.tokens))


def draw(bucket: Bucket | None, now: float, *, amount: int, seconds: int, cost: int) -> tuple[bool, Bucket]:
    """Take `cost` tokens at `now`, if they are there; the bucket afterwards. None is one that nobody took from: full.

    No second fills a bucket twice: while the clock is behind the bucket's own moment, nothing is added. A clock that
    was set back by more than the period is believed at once, or a bucket could stay empty for as long as that.
    """
    if cost < 0:
        raise ValueError(f"cost must be 0 or more, got {cost}")
    if bucket is None:
        tokens, at = float(amount), now
    else:
        tokens, at = bucket
        if now > at:
            tokens += (now - at) * amount / seconds
            if tokens > amount:
                tokens = float(amount)
            at = now
        elif at - now > seconds:
            at = now
    if cost <= tokens:
        return True, (tokens - cost, at)
    return False, (tokens, at)
