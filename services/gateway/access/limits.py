"""How often one caller, and one address prefix, may ask. Nobody is exempt.

Counted over all gateway instances where they share a Redis, else by each for itself: it then allows the full rate.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from limits import parse

from libs.common.errors import RateLimited
from services.gateway.access.buckets import Limiter

Header = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is left after a request that was let in."""

    headers: Sequence[Header]


class Limit:
    """One named policy, such as 1200 a minute, over any number of keys: so many at once, and then 20 each second.

    Headers by draft-ietf-httpapi-ratelimit-headers: `r` is what is left, `t` in how many seconds all of the quota is
    there again; in a refusal it is `Retry-After`, when the next request passes.
    """

    def __init__(self, name: str, rate: str, *, limiter: Limiter) -> None:
        item = parse(rate)
        # Under its own name, and with its rate in the key: a changed rate begins with full buckets.
        self._item = type(item)(item.amount, item.multiples, namespace=name)
        self._rule = str(item)
        self._name = name
        self._amount = item.amount
        self._seconds = item.get_expiry()
        self._limiter = limiter
        self._policy = f'"{name}";q={self._amount};w={self._seconds}'
        self._policy_header: Header = (b"ratelimit-policy", self._policy.encode())

    async def take(self, key: str) -> Allowance:
        """Count one request of `key`. Raises `RateLimited` with the same headers when it is one too many."""
        taken = await self._limiter.take(self._item, key)
        awaited = self._amount if taken.is_allowed else 1
        # Less than a microsecond is rounding, and no second more to wait.
        seconds = ceil(taken.seconds_until(awaited, amount=self._amount, seconds=self._seconds) - 1e-6)
        state = f'"{self._name}";r={int(taken.tokens)};t={seconds}'
        if taken.is_allowed:
            return Allowance(headers=(self._policy_header, (b"ratelimit", state.encode())))
        error = RateLimited(f"more than {self._rule}", retry_after_seconds=seconds)
        error.headers.update({"RateLimit-Policy": self._policy, "RateLimit": state})
        raise error


@dataclass(frozen=True, slots=True)
class Limits:
    """The gateway's two classes of routes: ordinary ones, and those that take a proof of who calls."""

    caller: Limit
    login: Limit


def new_limits(*, caller: str, login: str, limiter: Limiter) -> Limits:
    """The policies for rates such as `1200/minute`."""
    return Limits(caller=Limit("caller", caller, limiter=limiter), login=Limit("login", login, limiter=limiter))
