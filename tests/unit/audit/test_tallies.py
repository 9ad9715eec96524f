"""Which part of a range whole days answer."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.audit.models.tallies import span_of

moments = st.datetimes(timezones=st.just(UTC))
near = st.datetimes(datetime(2026, 1, 1), datetime(2026, 1, 5), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis adds it


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("since", "until", "days", "before", "after"),
    [
        ("2026-01-10", "2026-01-12", 2, 0, 0),
        ("2026-01-10T12:00", "2026-01-12T06:00", 1, 12, 6),
        ("2026-01-10T12:00", "2026-01-11T06:00", 0, 18, 0),
        ("2026-01-10T12:00", "2026-01-10T18:00", 0, 6, 0),
        ("2026-01-10T18:00", "2026-01-10T12:00", 0, -6, 0),
        ("9999-12-31T12:00", "9999-12-31T13:00", 0, 1, 0),
    ],
)
def test_a_range_has_whole_days_and_ends(since: str, until: str, days: int, before: float, after: float) -> None:
    span = span_of(at(since), at(until))
    hours = [(end - begin) / timedelta(hours=1) for begin, end in (span.before, span.after)]
    assert ((span.end - span.first).days, *hours) == (days, before, after)


@settings(deadline=None)
@given(near | moments, near | moments, near)
def test_every_moment_is_in_exactly_the_parts_that_the_range_has(
    since: datetime, until: datetime, moment: datetime
) -> None:
    span = span_of(since, until)
    parts = [
        span.before[0] <= moment < span.before[1],
        span.first <= moment.date() < span.end,
        span.after[0] <= moment < span.after[1],
    ]
    assert sum(parts) == (since <= moment < until)


def test_the_last_day_there_is_has_no_next() -> None:
    assert span_of(datetime.max.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)).first == date.max
