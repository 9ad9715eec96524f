"""How long a session lives: without being used, and at all. Pure.

That a session is used is noted now and then, not at every request, so a session may end up to a fifth of
the idle limit early where that limit is short, and at most 65 seconds early otherwise; never late.
"""

from dataclasses import dataclass

CACHE_SECONDS = 5.0
SEEN_SECONDS = 60.0
_PART = 10


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """The limits of every session, in seconds: `idle_seconds` since its last use, `absolute_seconds` since sign-in."""

    idle_seconds: int = 3600
    absolute_seconds: int = 12 * 3600

    @property
    def seen_every_seconds(self) -> float:
        """How often a session's last use is written at most: once a minute, oftener where the idle limit is short."""
        return min(SEEN_SECONDS, self.idle_seconds / _PART)

    @property
    def cache_seconds(self) -> float:
        """For how long a looked-up session is believed."""
        return min(CACHE_SECONDS, self.idle_seconds / _PART)
