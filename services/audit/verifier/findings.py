"""What can be wrong with a log, and the tally of what was found: a count, the first place and some examples of each kind."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum

ALL_HOLDS = 0
SEVERAL_KINDS = 1
UNREADABLE = 2
MOST_EXAMPLES = 20
"""Findings of one kind that are told in full; the others are counted."""


class Kind(IntEnum):
    """Kinds of findings. The number is the exit code when no other kind was found."""

    SIGNATURE = 10
    ROOT = 11
    LEAF = 12
    MISSING = 13
    CONSISTENCY = 14
    PRODUCER = 15
    COMMITMENT = 16


class Unreadable(Exception):
    """What was given cannot be read at all, so nothing can be said about the log. The message is one line."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that does not hold. `index` is the entry's; of a checkpoint it is the tree size."""

    kind: Kind
    index: int
    text: str


@dataclass(slots=True)
class Heap:
    """Everything of one kind."""

    count: int = 0
    first: int | None = None
    examples: list[str] = field(default_factory=list)

    def add(self, index: int, text: str) -> None:
        self.count += 1
        if self.first is None or index < self.first:
            self.first = index
        if len(self.examples) < MOST_EXAMPLES:
            self.examples.append(text)


@dataclass(slots=True)
class Findings:
    """What was found so far, in bounded space."""

    by_kind: dict[Kind, Heap] = field(default_factory=dict)
    warnings: dict[str, Heap] = field(default_factory=dict)
    unchecked: list[str] = field(default_factory=list)

    def add(self, kind: Kind, index: int, text: str) -> None:
        self.by_kind.setdefault(kind, Heap()).add(index, text)

    def extend(self, found: Iterable[Finding]) -> None:
        for one in found:
            self.add(one.kind, one.index, one.text)

    def warn(self, what: str, index: int, text: str) -> None:
        """Keep what is worth a look and breaks no promise."""
        self.warnings.setdefault(what, Heap()).add(index, text)

    def leave_out(self, text: str) -> None:
        """Keep that something could not be checked, and why; once."""
        if text not in self.unchecked and len(self.unchecked) < MOST_EXAMPLES:
            self.unchecked.append(text)

    def exit_code(self) -> int:
        """0 when all holds, the number of the kind when one was found, 1 when several were."""
        if not self.by_kind:
            return ALL_HOLDS
        return int(next(iter(self.by_kind))) if len(self.by_kind) == 1 else SEVERAL_KINDS
