"""Spans hold what a set of numbers holds."""

from hypothesis import given
from hypothesis import strategies as st

from services.audit.verifier.openings import Erasures, Redaction
from services.audit.verifier.spans import Spans

RANGES = st.lists(
    st.tuples(st.integers(0, 60), st.integers(0, 12)).map(lambda one: (one[0], one[0] + one[1])), max_size=25
)


@given(RANGES)
def test_spans_are_a_set_and_tell_the_lowest_repetition(ranges: list[tuple[int, int]]) -> None:
    spans, numbers = Spans(), set[int]()
    for first, last in ranges:
        new = set(range(first, last + 1))
        assert spans.add(first, last) == min(numbers & new, default=None)
        numbers |= new
        assert {n for low, high in spans for n in range(low, high + 1)} == numbers
        assert spans.count() == len(numbers)
        assert spans.highest() == max(numbers)
        assert all(after > before + 1 for (_, before), (after, _) in zip(spans, list(spans)[1:], strict=False))
    holes = {n for low, high in spans.holes() for n in range(low, high + 1)}
    assert holes == set(range(min(numbers, default=0), max(numbers, default=0))) - numbers


@given(RANGES)
def test_a_number_is_in_its_spans(ranges: list[tuple[int, int]]) -> None:
    spans = Spans()
    for first, last in ranges:
        spans.add(first, last)
    numbers = {n for first, last in ranges for n in range(first, last + 1)}
    assert {n for n in range(80) if n in spans} == numbers


@given(st.sets(st.integers(0, 60)), RANGES)
def test_erased_without_a_redaction_is_told_once_and_completely(
    erased: set[int], covered: list[tuple[int, int]]
) -> None:
    erasures = Erasures()
    for index in sorted(erased):
        erasures.erased("/details", index)
    erasures.redacted(Redaction(["/details"], covered))
    erasures.redacted(Redaction(["/changes"], [(0, 100)]))
    open_ones = erased - {n for first, last in covered for n in range(first, last + 1)}
    found = list(erasures.findings())
    assert [one.index for one in found] == [n for n in sorted(open_ones) if n - 1 not in open_ones]
    assert erasures.count() == len(erased)
