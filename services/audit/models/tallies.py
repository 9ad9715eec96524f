"""Counting entries by day: what a batch adds to the tallies, and which part of a range the tallies answer."""

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple

from services.audit.models.entries import Entry

_DAY = timedelta(days=1)


class Tally(NamedTuple):
    """What entries are counted by, in the order of the columns; an empty text stands for none."""

    day: date
    action: str
    outcome: str
    target_type: str
    admin_user_id: str


Tallies = Counter[Tally]


@dataclass(frozen=True, slots=True)
class Span:
    """A range of time: the whole UTC days in it, from `first` to before `end`, and what is left at both ends."""

    first: date
    end: date
    before: tuple[datetime, datetime]
    after: tuple[datetime, datetime]


def tally_of(entry: Entry) -> Tally:
    """Where an entry counts."""
    return Tally(
        entry.created_at.date(), entry.action, entry.outcome, entry.target_type or "", entry.admin_user_id or ""
    )


def facets_of(tallies: Tallies) -> set[tuple[str, str]]:
    """The actions and target types that occur, as `(kind, value)`."""
    found = {("action", tally.action) for tally in tallies}
    return found | {("target_type", tally.target_type) for tally in tallies if tally.target_type}


def span_of(since: datetime, until: datetime) -> Span:
    """The parts of the range from `since` to before `until`; both are in UTC."""
    first = since.date() if since.time() == time.min else _next(since.date())
    end = until.date()
    if first >= end:
        return Span(first, first, (since, until), (until, until))
    return Span(first, end, (since, _midnight(first)), (_midnight(end), until))


def _next(day: date) -> date:
    return day + _DAY if day < date.max else day


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time.min, UTC)
