"""Which gaps are new, which are closed, and how."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from libs.common.ids import new_uuid
from services.audit.models.gaps import Gap, Hole, closed_of, how_closed, news_of

SINCE = datetime(2026, 1, 31, tzinfo=UTC)


def hole(first: int, last: int, producer: str = "settings") -> Hole:
    return Hole(producer, first, last, SINCE)


def gap(first: int, last: int, producer: str = "settings") -> Gap:
    return Gap(new_uuid(), producer, first, last, SINCE, SINCE, None, None)


def test_a_hole_is_new_where_nobody_was_told_of_it() -> None:
    assert news_of([hole(5, 9)], []) == [hole(5, 9)]
    assert news_of([hole(5, 9)], [gap(5, 9)]) == []
    assert news_of([hole(5, 9)], [gap(5, 9, "audit")]) == [hole(5, 9)]
    assert news_of([hole(12, 12)], [gap(5, 11)]) == [hole(12, 12)]


def test_what_is_left_of_a_gap_is_no_news_and_keeps_it_open() -> None:
    known = [gap(5, 9)]
    left = [hole(5, 5), hole(7, 9)]
    assert news_of(left, known) == []
    assert closed_of(left, known) == []
    assert closed_of([hole(10, 10)], known) == known


@given(st.sets(st.integers(1, 30)), st.sets(st.integers(1, 30)))
def test_gaps_are_closed_exactly_when_all_of_them_came(missing: set[int], came: set[int]) -> None:
    known = [gap(number, number) for number in sorted(missing)]
    left = [hole(number, number) for number in sorted(missing - came)]
    assert {one.first for one in closed_of(left, known)} == missing & came
    assert news_of(left, known) == []


def test_a_gap_that_outlived_the_inbox_was_given_up() -> None:
    kept = timedelta(days=14)
    assert how_closed(gap(5, 9), now=SINCE + timedelta(days=13), kept=kept) == "filled"
    assert how_closed(gap(5, 9), now=SINCE + kept, kept=kept) == "given_up"
