"""Token buckets in the memory of one process, beside what the library's memory storage keeps.

Taking costs the same for every key and every amount, needs no task or thread, and the key that was quiet longest is
forgotten when there are too many. That is most likely a full bucket, of which forgetting loses nothing.
"""

import time
from collections import OrderedDict
from collections.abc import Callable

from limits.aio.storage import MemoryStorage

from services.gateway.access.buckets import Bucket, Taken, TokenBucketSupport, draw

MOST_KEYS = 50_000


class MemoryBuckets(MemoryStorage, TokenBucketSupport):
    """For one event loop; never waits. The clock is one that is never set, unless a test brings another."""

    def __init__(self, *, most_keys: int = MOST_KEYS, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()
        self._most_keys = most_keys
        self._clock = clock

    async def take_tokens(self, key: str, amount: int, seconds: int, *, cost: int = 1) -> Taken:
        """Take `cost` tokens, or none where there are fewer; a `cost` of 0 only looks."""
        now = self._clock()
        buckets = self._buckets
        kept = buckets.get(key)
        is_allowed, bucket = draw(kept, now, amount=amount, seconds=seconds, cost=cost)
        buckets[key] = bucket
        if kept is not None:
            buckets.move_to_end(key)
        elif len(buckets) > self._most_keys:
            buckets.popitem(last=False)
        return Taken(is_allowed, bucket[0], bucket[1] - now)

    async def clear(self, key: str) -> None:
        """Forget a key: its bucket is full again."""
        self._buckets.pop(key, None)
        await super().clear(key)

    async def reset(self) -> int | None:
        """Forget all keys; how many there were."""
        buckets = len(self._buckets)
        self._buckets.clear()
        return buckets + (await super().reset() or 0)
