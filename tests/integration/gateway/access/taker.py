"""One process of several that share a limit: `python -m ...taker URL RATE TRIES` prints how many it was allowed."""

import asyncio
import sys

from libs.common.errors import RateLimited
from services.gateway.access.limits import Limit
from services.gateway.access.shared_buckets import SharedLimiter

AT_ONCE = 50


async def take(url: str, rate: str, tries: int) -> int:
    """How many of `tries` requests, many at once, are allowed."""
    limit = Limit("caller", rate, limiter=SharedLimiter(url, answer_seconds=30))
    gate = asyncio.Semaphore(AT_ONCE)

    async def one() -> bool:
        async with gate:
            try:
                await limit.take("somebody")
            except RateLimited:
                return False
            return True

    return sum(await asyncio.gather(*(one() for _ in range(tries))))


if __name__ == "__main__":
    print(asyncio.run(take(sys.argv[1], sys.argv[2], int(sys.argv[3]))))
