"""A moving window in memory, as storage of the `limits` library.

The library's own memory storage starts a timer thread that walks all keys every few milliseconds and
holds any number of keys. This one costs about a microsecond, needs no thread and forgets the key
that was quiet longest when there are too many.
"""

import time
from collections import OrderedDict, deque
from collections.abc import Callable

from limits.storage import MovingWindowSupport, Storage

MOST_KEYS = 50_000


class MovingWindows(Storage, MovingWindowSupport):
    """Per key the times of the entries that still count. For one event loop; never blocks."""

    STORAGE_SCHEME = None

    def __init__(self, *, most_keys: int = MOST_KEYS, clock: Callable[[], float] = time.time) -> None:
        super().__init__()
        self._windows: OrderedDict[str, deque[float]] = OrderedDict()
        self._most_keys = most_keys
        self._clock = clock

    @property
    def base_exceptions(self) -> type[Exception]:
        """What may be raised by this storage for reasons of its own: nothing does."""
        return ValueError

    def acquire_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        """Enter `amount` times now unless more than `limit` would count within `expiry` seconds."""
        now = self._clock()
        window = self._window(key, now - expiry)
        if len(window) + amount > limit:
            return False
        window.extend([now] * amount)
        return True

    def get_moving_window(self, key: str, limit: int, expiry: int) -> tuple[float, int]:
        """When the oldest entry that counts was made, and how many count."""
        now = self._clock()
        window = self._window(key, now - expiry)
        return (window[0] if window else now), len(window)

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Fixed windows are not kept here."""
        raise NotImplementedError("only moving windows are kept")

    def get(self, key: str) -> int:
        """Entries of a key, without looking at their age."""
        return len(self._windows.get(key, ()))

    def get_expiry(self, key: str) -> float:
        """Fixed windows are not kept here."""
        raise NotImplementedError("only moving windows are kept")

    def check(self) -> bool:
        """Memory is always there."""
        return True

    def reset(self) -> int | None:
        """Forget everything; returns the number of keys there were."""
        count = len(self._windows)
        self._windows.clear()
        return count

    def clear(self, key: str) -> None:
        """Forget one key."""
        self._windows.pop(key, None)

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
