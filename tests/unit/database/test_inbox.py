"""What the inbox decides about numbers, without a database."""

from hypothesis import given
from hypothesis import strategies as st

from libs.common.database.inbox import Progress, contiguous, fresh


@given(st.integers(0, 50), st.sets(st.integers(0, 100)), st.frozensets(st.integers(0, 100)))
def test_only_numbers_beyond_the_watermark_and_never_seen_are_fresh(
    watermark: int, numbers: set[int], seen: frozenset[int]
) -> None:
    found = fresh(Progress(watermark, len(seen)), numbers, seen)
    assert found == {number for number in numbers if number > watermark} - seen


@given(st.integers(0, 50), st.sets(st.integers(0, 100)))
def test_the_watermark_stops_before_the_first_hole(watermark: int, numbers: set[int]) -> None:
    after = contiguous(watermark, numbers)
    assert set(range(watermark + 1, after + 1)) <= numbers
    assert after + 1 not in numbers
