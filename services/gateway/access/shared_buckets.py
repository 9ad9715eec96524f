"""Limits that every gateway instance shares, in Redis; each counts for itself while Redis is away.

When Redis does not answer within a quarter of a second, this process counts in memory for some seconds before it asks
again: a limit that is somewhat too generous is better than nobody getting in, and than everybody waiting.
"""

import asyncio
import time
from collections.abc import Callable

from limits import RateLimitItem
from prometheus_client import Gauge
from redis.exceptions import RedisError

from libs.common import logs
from services.gateway.access.buckets import Taken, TokenBucketRateLimiter
from services.gateway.access.memory_buckets import MemoryBuckets
from services.gateway.access.redis_buckets import RedisBuckets

ANSWER_SECONDS = 0.25
PAUSE_SECONDS = 5.0

SHARED = Gauge("reeve_limits_shared", "1 while limits are counted over all gateways, 0 while Redis does not answer.")

log = logs.get("limits")


class SharedLimiter:
    """The strategy over Redis, and over memory while Redis is away."""

    def __init__(
        self, url: str, *, answer_seconds: float = ANSWER_SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._shared = TokenBucketRateLimiter(RedisBuckets(url, answer_seconds=answer_seconds))
        self._local = TokenBucketRateLimiter(MemoryBuckets())
        self._answer_seconds = answer_seconds
        self._clock = clock
        self._away_until = 0.0
        SHARED.set(1)

    async def take(self, item: RateLimitItem, *identifiers: str, cost: int = 1) -> Taken:
        """Take `cost` tokens of the bucket of `identifiers` under this limit, over all instances."""
        if self._clock() >= self._away_until:
            try:
                # Over all steps, of which there are several for a new connection.
                async with asyncio.timeout(self._answer_seconds):
                    taken = await self._shared.take(item, *identifiers, cost=cost)
            except (RedisError, OSError, TimeoutError) as error:
                self._go_away(error)
            else:
                self._come_back()
                return taken
        return await self._local.take(item, *identifiers, cost=cost)

    def _go_away(self, error: Exception) -> None:
        if self._away_until == 0.0:
            log.warning("limits are counted by each process for itself", error=type(error).__name__)
            SHARED.set(0)
        self._away_until = self._clock() + PAUSE_SECONDS

    def _come_back(self) -> None:
        if self._away_until > 0.0:
            log.info("limits are shared again")
            SHARED.set(1)
            self._away_until = 0.0
