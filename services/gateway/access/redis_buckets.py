"""Token buckets in Redis, beside what the library's Redis storage keeps: taking is one script, and so one round trip.

The script says what `draw` says, in the same order of operations, so that both give the same numbers. The clock is the
server's, which is one for all gateways. A key expires a minute after its bucket is full, since a full bucket and no key
are the same, unless the clock goes back to before it was full.
"""

from collections.abc import Callable

from limits.aio.storage import RedisStorage
from limits.aio.storage.redis.redispy import RedispyBridge
from redis.asyncio import BlockingConnectionPool

from services.gateway.access.buckets import Taken, TokenBucketSupport

PREFIX = "reeve"
MOST_CONNECTIONS = 32

# Numbers travel as text of 17 digits: Lua's own text has 14, too few for the microseconds of a Unix time, and a number
# that a script returns is cut to an integer.
TAKE = """
local amount, seconds, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local now = tonumber(ARGV[4])
if now == nil then
    local time = redis.call('TIME')
    now = tonumber(time[1]) + tonumber(time[2]) / 1000000
end
local tokens, at = amount, now
local kept = redis.call('GET', KEYS[1])
if kept then
    local kept_tokens, kept_at = string.match(kept, '^(%S+) (%S+)$')
    tokens, at = tonumber(kept_tokens), tonumber(kept_at)
    if now > at then
        tokens = math.min(amount, tokens + (now - at) * amount / seconds)
        at = now
    elseif at - now > seconds then
        at = now
    end
end
local allowed = 0
if cost <= tokens then
    allowed = 1
    tokens = tokens - cost
end
local full_seconds = (at - now) + (amount - tokens) * seconds / amount
redis.call('SET', KEYS[1], string.format('%.17g %.17g', tokens, at), 'EX', math.ceil(full_seconds) + 60)
return {allowed, string.format('%.17g', tokens), string.format('%.17g', at - now)}
"""


class RedisBuckets(RedisStorage, TokenBucketSupport):
    """Buckets that everybody who knows the address shares. Whatever goes wrong is a `RedisError` or a `TimeoutError`."""

    bridge: RedispyBridge

    def __init__(self, url: str, *, answer_seconds: float, clock: Callable[[], float] | None = None) -> None:
        """`answer_seconds` bounds connecting, waiting for a connection and each answer; `clock` is for tests."""
        # Blocking: more requests at once than connections wait for one, within the same bound.
        pool: BlockingConnectionPool = BlockingConnectionPool.from_url(
            url,
            max_connections=MOST_CONNECTIONS,
            timeout=answer_seconds,
            socket_timeout=answer_seconds,
            socket_connect_timeout=answer_seconds,
        )
        super().__init__(
            f"async+{url}",
            implementation="redispy",
            key_prefix=PREFIX,
            connection_pool=pool,  # type: ignore[arg-type] # documented there, and left out of its annotation
        )
        self._take = self.bridge.get_connection().register_script(TAKE.encode())
        self._clock = clock

    async def take_tokens(self, key: str, amount: int, seconds: int, *, cost: int = 1) -> Taken:
        """Take `cost` tokens, or none where there are fewer; a `cost` of 0 only looks."""
        if cost < 0:
            raise ValueError(f"cost must be 0 or more, got {cost}")
        now = "" if self._clock is None else repr(self._clock())
        allowed, tokens, lag = await self._take([self.bridge.prefixed_key(key)], [amount, seconds, cost, now])
        return Taken(allowed == 1, float(tokens), float(lag))
