"""How often one caller, and one address, may ask. Nobody is exempt.

Counted in this process: several gateway instances each allow the full rate.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil

from limits import parse
from limits.storage import MovingWindowSupport

from libs.common.errors import RateLimited
from services.gateway.access.windows import MovingWindows

Header = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is left after a request that was let in."""

    headers: Sequence[Header]


class Limit:
    """One named policy, such as 1200 a minute, over any number of keys."""

    def __init__(
        self, name: str, rate: str, *, storage: MovingWindowSupport, clock: Callable[[], float] = time.time
    ) -> None:
        item = parse(rate)
        self._rule = str(item)
        self._name = name
        self._most = item.amount
        self._seconds = item.get_expiry()
        self._windows = storage
        self._clock = clock
        self._policy = f'"{name}";q={self._most};w={self._seconds}'
        self._policy_header: Header = (b"ratelimit-policy", self._policy.encode())

    def take(self, key: str) -> Allowance:
        """Count one request of `key`. Raises `RateLimited` with the same headers when it is one too many."""
        # The storage is asked itself: the library's strategy on top of it costs as much again.
        window = f"{self._name}/{key}"
        allowed = self._windows.acquire_entry(window, self._most, self._seconds)
        since, count = self._windows.get_moving_window(window, self._most, self._seconds)
        reset_seconds = max(0, ceil(since + self._seconds - self._clock()))
        state = f'"{self._name}";r={max(0, self._most - count)};t={reset_seconds}'
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


def new_limits(*, caller: str, login: str, storage: MovingWindowSupport | None = None) -> Limits:
    """The policies for rates such as `1200/minute`, in memory unless another storage is given."""
    kept = storage or MovingWindows()
    return Limits(caller=Limit("caller", caller, storage=kept), login=Limit("login", login, storage=kept))
