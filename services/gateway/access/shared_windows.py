"""Moving windows that every gateway instance shares, in Redis, by the `limits` library.

Entering is one script in Redis, so no two instances let in the same last request. When Redis does not answer within a
quarter of a second, this process counts for itself for some seconds before it asks again: a limit that is somewhat
too generous is better than nobody getting in, and than everybody waiting.
"""

import time
from collections.abc import Callable

from limits.aio.storage import RedisStorage
from prometheus_client import Gauge
from redis.asyncio import BlockingConnectionPool
from redis.exceptions import RedisError

from libs.common import logs
from services.gateway.access.windows import MovingWindows, Taken

ANSWER_SECONDS = 0.25
PAUSE_SECONDS = 5.0
MOST_CONNECTIONS = 32

SHARED = Gauge("reeve_limits_shared", "1 while limits are counted over all gateways, 0 while Redis does not answer.")

log = logs.get("limits")


class SharedWindows:
    """Windows in Redis; in memory while Redis is away."""

    def __init__(
        self, url: str, *, answer_seconds: float = ANSWER_SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        # Blocking: more requests at once than connections wait for one, within the same bound.
        pool: BlockingConnectionPool = BlockingConnectionPool.from_url(
            url,
            max_connections=MOST_CONNECTIONS,
            timeout=answer_seconds,
            socket_timeout=answer_seconds,
            socket_connect_timeout=answer_seconds,
        )
        self._storage = RedisStorage(
            f"async+{url}",
            implementation="redispy",
            key_prefix="reeve",
            connection_pool=pool,  # type: ignore[arg-type] # documented there, and left out of its annotation
        )
        self._local = MovingWindows()
        self._clock = clock
        self._away_until = 0.0
        SHARED.set(1)

    async def take(self, key: str, *, most: int, seconds: int) -> Taken:
        """Enter once now unless more than `most` would then count within `seconds`, over all instances."""
        if self._clock() >= self._away_until:
            try:
                is_allowed = await self._storage.acquire_entry(key, most, seconds)
                since, count = await self._storage.get_moving_window(key, most, seconds)
            except (RedisError, OSError, TimeoutError) as error:
                self._go_away(error)
            else:
                self._come_back()
                return Taken(is_allowed, since, count)
        return await self._local.take(key, most=most, seconds=seconds)

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
