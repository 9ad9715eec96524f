"""Moving windows in memory: how many requests of a key count within the last seconds.

The memory storage of the `limits` library starts a timer thread that walks all keys every few milliseconds and holds
any number of keys. This one costs about a microsecond, needs no thread and forgets the key that was quiet longest
when there are too many.
"""

import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import NamedTuple, Protocol

MOST_KEYS = 50_000


class Taken(NamedTuple):
    """What asking for one more entry came to."""

    is_allowed: bool
    since: float
    """When the oldest entry that counts was made, as a Unix time; now when none does."""
    entries: int
    """How many count, the new one included if it was allowed."""


class Windows(Protocol):
    """Where entries are counted."""

    async def take(self, key: str, *, most: int, seconds: int) -> Taken:
        """Enter once now unless more than `most` would then count within `seconds`."""


class MovingWindows:
    """Per key the times of the entries that still count. For one event loop; never waits."""

    def __init__(self, *, most_keys: int = MOST_KEYS, clock: Callable[[], float] = time.time) -> None:
        self._windows: OrderedDict[str, deque[float]] = OrderedDict()
        self._most_keys = most_keys
        self._clock = clock

    async def take(self, key: str, *, most: int, seconds: int) -> Taken:
        """Enter once now unless more than `most` would then count within `seconds`."""
        now = self._clock()
        window = self._window(key, now - seconds)
        is_allowed = len(window) < most
        if is_allowed:
            window.append(now)
        return Taken(is_allowed, window[0] if window else now, len(window))

    def count(self, key: str) -> int:
        """Entries of a key, without looking at their age."""
        return len(self._windows.get(key, ()))

    def _window(self, key: str, since: float) -> deque[float]:
        windows = self._windows
        window = windows.get(key)
        if window is None:
            window = windows[key] = deque()
            if len(windows) > self._most_keys:
                windows.popitem(last=False)
            return window
        windows.move_to_end(key)
        while window and window[0] <= since:
            window.popleft()
        return window
