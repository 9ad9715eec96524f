"""Who sends what may not come in, and how often: told at once, and then once a minute for each sender and reason.

So a flood of bad messages is a count and not a flood of events. What was counted and not told yet is in memory: it is
lost with the process, the dead letters are not.
"""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from libs.common.delivery.arrivals import Parked
from libs.common.delivery.senders import producer_of
from libs.common.events.catalog import new_event
from libs.common.events.envelope import Event
from libs.common.events.refusals import MessagesRefused

TOLD_SECONDS = 60.0
"""How long a sender's next refusals for the same reason are only counted."""
MOST_NAMES = 1_000
"""Senders with reasons that are counted apart; those beyond are counted together."""
MOST_SENDER = 255
MOST_REASON = 64
NOBODY = "nobody"
"""Whoever sent a message that the broker vouches for nobody for."""
OTHERS = "others"
FAILED = "failed "
"""What the reason of a letter begins with that is no refusal: a handler of ours broke."""


class Name(NamedTuple):
    """Of whom and for what refusals are counted together."""

    sender: str
    reason: str


class Refusals:
    """The refusals of one queue. `due` changes nothing; `note` is called once what was due is committed."""

    def __init__(self, *, source: str, queue: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._source = source
        self._queue = queue
        self._clock = clock
        self._told_at: dict[Name, float] = {}
        self._untold: Counter[Name] = Counter()

    def due(self, letters: Sequence[Parked]) -> dict[Name, int]:
        """What is to be told with these new letters: each name that was not told of within the last minute."""
        counts = self._untold + self._counted(letters)
        begin = self._clock() - TOLD_SECONDS
        return {name: count for name, count in counts.items() if self._told_at.get(name, begin) <= begin}

    def note(self, letters: Sequence[Parked], told: Mapping[Name, int]) -> None:
        """These letters are kept, and that was told of them."""
        self._untold += self._counted(letters)
        now = self._clock()
        for name, count in told.items():
            self._told_at[name] = now
            self._untold[name] -= count
        self._untold = +self._untold
        self._told_at = {
            name: at for name, at in self._told_at.items() if at > now - TOLD_SECONDS or name in self._untold
        }

    def events(self, told: Mapping[Name, int]) -> list[Event]:
        """What tells of it."""
        return [
            new_event(
                MessagesRefused(queue=self._queue, sender=name.sender, reason=name.reason, count=count),
                source=self._source,
                subject=f"queue/{self._queue}",
                actor_type="system",
                severity="warning",
            )
            for name, count in told.items()
        ]

    def _counted(self, letters: Sequence[Parked]) -> Counter[Name]:
        return Counter(self._bounded(name) for one in letters if (name := name_of(one)) is not None)

    def _bounded(self, name: Name) -> Name:
        known = len(self._told_at.keys() | self._untold.keys())
        is_known = name in self._told_at or name in self._untold
        return name if is_known or known < MOST_NAMES else Name(OTHERS, name.reason)


def name_of(letter: Parked) -> Name | None:
    """Under which name a letter is counted; None where its sender did nothing wrong."""
    if letter.reason.startswith(FAILED):
        return None
    sender = producer_of(letter.message) or letter.message.sender or NOBODY
    return Name(sender[:MOST_SENDER], letter.reason.partition(":")[0][:MOST_REASON])
