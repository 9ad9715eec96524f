"""Whether the log's own clock ran forward: times of arrival that step back by more than a tolerance are listed."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import pairwise

from services.audit.verifier.findings import Findings

TOLERANCE_SECONDS = 5.0

Stamp = tuple[int, str]
"""An entry's index and its `received_at`. Texts of that one form sort as the times they say."""


def condensed(stamps: Sequence[Stamp]) -> list[Stamp]:
    """All that is to be known of these: the first and the last when they ascend, else all of them."""
    ascend = all(one[1] <= other[1] for one, other in pairwise(stamps))
    return [stamps[0], stamps[-1]] if ascend and len(stamps) > 1 else list(stamps)


class Clock:
    """The times of a log, taken in by index."""

    def __init__(self) -> None:
        self.first: str | None = None
        self.last: Stamp | None = None
        self._highest = ""

    def take(self, stamps: Iterable[Stamp], findings: Findings) -> None:
        """Take in the next entries' times."""
        for index, time in stamps:
            self.first = self.first or time
            self.last = (index, time)
            if time >= self._highest:
                self._highest = time
            else:
                self._step_back(index, time, findings)

    def _step_back(self, index: int, time: str, findings: Findings) -> None:
        back = seconds_of(self._highest) - seconds_of(time)
        if back > TOLERANCE_SECONDS:
            findings.warn("time", index, f"entry {index} was received {back:.1f} s before an earlier one")


def seconds_of(time: str) -> float:
    """Seconds since 1970 of a time; 0 for one that no calendar has (the 31st of February)."""
    try:
        return datetime.fromisoformat(time).timestamp()
    except ValueError:
        return 0.0
