"""What was pruned: rows that are gone, held against what the log itself announced.

A leaf stays for ever; of a pruned entry the row that searches read and what opens its commitments go. Before that the log says
which: by places, and by type where not all of them go. Eight bytes are kept of each row that is gone.
"""

from array import array
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from services.audit.verifier.findings import Finding, Kind
from services.audit.verifier.leaves import Flaw, Leaf
from services.audit.verifier.spans import Spans

MOST_RANGES = 10_000
"""Ranges that one announcement may name."""


class Announced(NamedTuple):
    """Places from `first` to `last` of which the rows of a type go, or all rows where that is None."""

    type: str | None
    first: int
    last: int


def announced_by(leaf: Leaf) -> list[Announced]:
    """What an announcement names. Raises Flaw when it does not name it in the agreed form."""
    ranges = (leaf.public or {}).get("ranges")
    if not isinstance(ranges, list) or len(ranges) > MOST_RANGES:
        raise Flaw("an announcement of pruning names its ranges as a list")
    return [_range(one) for one in ranges]


def _range(one: object) -> Announced:
    match one:
        case {"first": int(first), "last": int(last), "type": str(kind), **rest} if not rest and 0 <= first <= last:
            return Announced(kind, first, last)
        case {"first": int(first), "last": int(last), **rest} if not rest and 0 <= first <= last:
            return Announced(None, first, last)
    raise Flaw("an announcement of pruning names a range by first, last, and perhaps type")


class Prunes:
    """Rows that are gone, and what announcements cover."""

    def __init__(self) -> None:
        self._gone: dict[str, array[int]] = {}
        self._covered: dict[str | None, Spans] = defaultdict(Spans)

    def gone(self, places: Mapping[str, Sequence[int]]) -> None:
        """These rows are not there, by the types of their leaves."""
        for kind, some in places.items():
            self._gone.setdefault(kind, array("Q")).extend(some)

    def announced(self, one: Announced) -> None:
        """A leaf of the log says that rows go."""
        self._covered[one.type].add(one.first, one.last)

    def count(self) -> int:
        """How many rows are gone."""
        return sum(map(len, self._gone.values()))

    def findings(self) -> Iterator[Finding]:
        """What is gone and was never announced, one finding for each entry, in order within a type."""
        everything = self._covered[None]
        for kind, places in sorted(self._gone.items()):
            own = self._covered[kind]
            for place in places:
                if place not in everything and place not in own:
                    text = f"entry {place}: its row in audit.entries is missing, and the log announces no pruning of it"
                    yield Finding(Kind.MISSING, place, text)
