"""A bar on standard error, when that is a terminal."""

import sys
import time

WIDTH = 32
EVERY_SECONDS = 0.1


class Progress:
    """How far it is; `with` clears the line at the end."""

    def __init__(self, total: int, *, shown: bool | None = None) -> None:
        self._total = max(total, 1)
        self._shown = sys.stderr.isatty() if shown is None else shown
        self._started = self._told = time.monotonic()

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()

    def at(self, done: int) -> None:
        """So many entries are checked."""
        now = time.monotonic()
        if not self._shown or now - self._told < EVERY_SECONDS:
            return
        self._told = now
        sys.stderr.write(f"\r{bar(done, self._total, now - self._started)}\x1b[K")
        sys.stderr.flush()


def bar(done: int, total: int, seconds: float) -> str:
    """One line: a bar, the count, the rate."""
    share = min(1.0, done / total)
    filled = int(share * WIDTH)
    rate = done / seconds if seconds > 0 else 0.0
    return f"[{'#' * filled}{'.' * (WIDTH - filled)}] {share:4.0%}  {done:,} of {total:,} entries, {rate:,.0f}/s"
