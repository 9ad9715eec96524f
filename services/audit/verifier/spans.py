"""Sets of whole numbers that mostly follow each other: kept as inclusive spans, a million numbers in a row as one."""

from bisect import bisect_right, insort
from collections.abc import Iterator


class Spans:
    """Disjoint spans (first, last) in ascending order, joined where they touch or overlap."""

    def __init__(self) -> None:
        self._firsts: list[int] = []
        self._last_of: dict[int, int] = {}

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return ((first, self._last_of[first]) for first in self._firsts)

    def __contains__(self, number: int) -> bool:
        at = bisect_right(self._firsts, number) - 1
        return at >= 0 and self._last_of[self._firsts[at]] >= number

    def count(self) -> int:
        """How many numbers there are."""
        return sum(last - first + 1 for first, last in self)

    def highest(self) -> int | None:
        """The greatest number, or None when there is none."""
        return self._last_of[self._firsts[-1]] if self._firsts else None

    def add(self, first: int, last: int) -> int | None:
        """Put in all of first..last; the lowest of them that was there already, or None."""
        if self._firsts:
            tail = self._firsts[-1]
            if first == self._last_of[tail] + 1:  # almost always: the next number, or the next run of them
                self._last_of[tail] = last
                return None
        repeated: int | None = None
        at = max(0, bisect_right(self._firsts, first) - 1)
        low, high = first, last
        while at < len(self._firsts) and self._firsts[at] <= last + 1:
            begin = self._firsts[at]
            end = self._last_of[begin]
            if end < first - 1:
                at += 1
                continue
            if repeated is None and max(begin, first) <= min(end, last):
                repeated = max(begin, first)
            low, high = min(low, begin), max(high, end)
            del self._firsts[at], self._last_of[begin]
        insort(self._firsts, low)
        self._last_of[low] = high
        return repeated

    def holes(self) -> Iterator[tuple[int, int]]:
        """The spans between the spans."""
        for before, after in zip(self._firsts, self._firsts[1:], strict=False):
            yield self._last_of[before] + 1, after - 1
