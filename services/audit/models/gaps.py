"""Gaps in the numbers of a service: what is new of them, and how one ended. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Hole:
    """Numbers of a producer, `first` to `last`, that are not there, while a later one was seen at `since`."""

    producer: str
    first: int
    last: int
    since: datetime

    @property
    def missing(self) -> int:
        """How many numbers."""
        return self.last - self.first + 1


@dataclass(frozen=True, slots=True)
class Gap:
    """A hole that was told of, as it was then; `how` it ended."""

    id: UUID
    producer: str
    first: int
    last: int
    since: datetime
    told_at: datetime
    closed_at: datetime | None
    how: str | None

    def has(self, hole: Hole) -> bool:
        """Whether the hole is what is left of it, or a part of that: holes only shrink, and fall apart."""
        return hole.producer == self.producer and hole.first <= self.last and self.first <= hole.last


def news_of(holes: Iterable[Hole], known: Sequence[Gap]) -> list[Hole]:
    """The holes that nobody was told of."""
    return [hole for hole in holes if not any(gap.has(hole) for gap in known)]


def closed_of(holes: Sequence[Hole], known: Iterable[Gap]) -> list[Gap]:
    """The gaps of which nothing is missing any more."""
    return [gap for gap in known if not any(gap.has(hole) for hole in holes)]


def how_closed(gap: Gap, *, now: datetime, kept: timedelta) -> Literal["filled", "given_up"]:
    """Whether its numbers came, or the inbox, which keeps holes open for `kept`, waits for them no longer."""
    return "filled" if now < gap.since + kept else "given_up"
