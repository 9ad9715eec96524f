"""How often one caller, and one address, may ask. Nobody is exempt.

Counted in this process: several gateway instances each allow the full rate.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil

from limits import RateLimitItem, parse
from limits.storage import Storage
from limits.strategies import MovingWindowRateLimiter

from libs.common.errors import RateLimited
from services.gateway.access.windows import MovingWindows

Header = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is left after a request that was let in."""

    headers: Sequence[Header]


class Limit:
    """One named policy, such as 1200 a minute, over any number of keys."""

    def __init__(self, name: str, rate: str, *, storage: Storage, clock: Callable[[], float] = time.time) -> None:
        self._item: RateLimitItem = parse(rate)
        self._name = name
        self._windows = MovingWindowRateLimiter(storage)
        self._clock = clock
        self._policy = f'"{name}";q={self._item.amount};w={self._item.get_expiry()}'
        self._policy_header: Header = (b"ratelimit-policy", self._policy.encode())

    def take(self, key: str) -> Allowance:
        """Count one request of `key`. Raises `RateLimited` with the same headers when it is one too many."""
        allowed = self._windows.hit(self._item, self._name, key)
        stats = self._windows.get_window_stats(self._item, self._name, key)
        reset_seconds = max(0, ceil(stats.reset_time - self._clock()))
        state = f'"{self._name}";r={max(0, stats.remaining)};t={reset_seconds}'
        if allowed:
            return Allowance(headers=(self._policy_header, (b"ratelimit", state.encode())))
        error = RateLimited(f"more than {self._item}", retry_after_seconds=reset_seconds)
        error.headers.update({"RateLimit-Policy": self._policy, "RateLimit": state})
        raise error


@dataclass(frozen=True, slots=True)
class Limits:
    """The gateway's two policies."""

    caller: Limit
    login: Limit


def new_limits(*, caller: str, login: str, storage: Storage | None = None) -> Limits:
    """The policies for rates such as `1200/minute`, in memory unless another storage is given."""
    kept = storage or MovingWindows()
    return Limits(caller=Limit("caller", caller, storage=kept), login=Limit("login", login, storage=kept))
