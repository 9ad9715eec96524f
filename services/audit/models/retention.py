"""How long entries are kept, what a hold says, and what one announcement may name; pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from libs.common.errors import Conflict, Invalid, NotFound
from libs.common.events.envelope import rfc3339

MOST_ARCHIVED = 100_000
"""Entries in one archive file."""
MOST_RANGES = 30
"""Ranges in one announcement: with event types of 255 characters its leaf stays below 16 KiB."""
MOST_PRUNED = 2_000
"""Entries removed in one transaction, where a month does not go at once."""
MOST_HOLDS = 200
"""Legal holds in force: each is held against every entry that would go."""


@dataclass(frozen=True, slots=True)
class Policy:
    """Days by event type. `configured_days` are the environment's; `default_days` None means these."""

    configured_days: int
    default_days: int | None
    types: Mapping[str, int]
    version: int
    updated_at: datetime | None
    updated_by: str | None

    @property
    def shortest(self) -> int:
        """The least number of days that anything is kept."""
        return min([self.default_days or self.configured_days, *self.types.values()])

    def body(self) -> dict[str, Any]:
        """As the API answers it."""
        return {
            "default_days": self.default_days or self.configured_days,
            "configured_days": self.configured_days,
            "types": dict(self.types),
            "version": self.version,
            "updated_at": _moment(self.updated_at),
            "updated_by": self.updated_by,
        }


@dataclass(frozen=True, slots=True)
class Hold:
    """A legal hold; one that was lifted says when, by whom and why."""

    id: UUID
    name: str
    reason: str
    filter: Mapping[str, Any]
    placed_at: datetime
    placed_by: str
    lifted_at: datetime | None
    lifted_by: str | None
    lift_reason: str | None

    def body(self) -> dict[str, Any]:
        """As the API answers it."""
        return {
            "id": str(self.id),
            "name": self.name,
            "reason": self.reason,
            "filter": self.filter,
            "placed_at": rfc3339(self.placed_at),
            "placed_by": self.placed_by,
            "lifted_at": _moment(self.lifted_at),
            "lifted_by": self.lifted_by,
            "lift_reason": self.lift_reason,
        }


@dataclass(frozen=True, slots=True)
class Span:
    """Places `first` to `last` of entries of one type, or of all; `count` of them are still there."""

    type: str | None
    first: int
    last: int
    count: int

    def names(self, sequence: int, body: bytes) -> bool:
        """Whether the entry with this leaf is one of those."""
        return self.first <= sequence <= self.last and self.type in {None, orjson.loads(body)["type"]}


def announcements(spans: Sequence[Span]) -> Iterator[Sequence[Span]]:
    """The spans, as many at a time as one announcement may name."""
    for start in range(0, len(spans), MOST_RANGES):
        yield spans[start : start + MOST_RANGES]


def check_times(date_from: datetime | None, date_to: datetime | None) -> None:
    """Raise `Invalid` for a hold's range that holds nothing."""
    if date_from is not None and date_to is not None and date_from >= date_to:
        raise Invalid("filter.date_from must be before filter.date_to", code="validation_error")


def hold_not_found(hold_id: str) -> NotFound:
    """There is none of this id."""
    return NotFound(f"no legal hold {hold_id[:64]}", code="legal_hold_not_found")


def hold_exists(name: str) -> Conflict:
    """Two holds in force never share a name."""
    return Conflict(f"a legal hold of the name {name} is in force", code="legal_hold_exists")


def hold_lifted(name: str) -> Conflict:
    """A hold is lifted once."""
    return Conflict(f"the legal hold {name} was lifted already", code="legal_hold_lifted")


def _moment(moment: datetime | None) -> str | None:
    return rfc3339(moment) if moment is not None else None
