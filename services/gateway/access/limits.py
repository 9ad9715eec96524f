"""How often one caller, and one address, may ask. Nobody is exempt.

Counted over all gateway instances where they share a Redis, else by each for itself: it then allows the full rate.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil

from limits import parse

from libs.common.errors import RateLimited
from services.gateway.access.windows import Windows

Header = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is left after a request that was let in."""

    headers: Sequence[Header]


class Limit:
    """One named policy, such as 1200 a minute, over any number of keys."""

    def __init__(self, name: str, rate: str, *, windows: Windows, clock: Callable[[], float] = time.time) -> None:
        item = parse(rate)
        self._rule = str(item)
        self._name = name
        self._most = item.amount
        self._seconds = item.get_expiry()
        self._windows = windows
        self._clock = clock
        self._policy = f'"{name}";q={self._most};w={self._seconds}'
        self._policy_header: Header = (b"ratelimit-policy", self._policy.encode())

    async def take(self, key: str) -> Allowance:
        """Count one request of `key`. Raises `RateLimited` with the same headers when it is one too many."""
        allowed, since, entries = await self._windows.take(
            f"{self._name}/{key}", most=self._most, seconds=self._seconds
        )
        reset_seconds = max(0, ceil(since + self._seconds - self._clock()))
        state = f'"{self._name}";r={max(0, self._most - entries)};t={reset_seconds}'
        if allowed:
            return Allowance(headers=(self._policy_header, (b"ratelimit", state.encode())))
        error = RateLimited(f"more than {self._rule}", retry_after_seconds=reset_seconds)
        error.headers.update({"RateLimit-Policy": self._policy, "RateLimit": state})
        raise error


@dataclass(frozen=True, slots=True)
class Limits:
    """The gateway's two policies."""

    caller: Limit
    login: Limit


def new_limits(*, caller: str, login: str, windows: Windows) -> Limits:
    """The policies for rates such as `1200/minute`."""
    return Limits(caller=Limit("caller", caller, windows=windows), login=Limit("login", login, windows=windows))
