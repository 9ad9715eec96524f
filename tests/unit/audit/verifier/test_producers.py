"""Producers' numbers and heartbeats, as a table of what may be and what may not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.audit.verifier.findings import Findings, Kind
from services.audit.verifier.producers import Heartbeat, Producers, Run

MINUTES = [f"2026-03-01T12:{minute:02d}:00.000000Z" for minute in range(20)]


def judged(numbers: list[int], *, beats: dict[int, int] | None = None, lost: int = 0, whole: bool = True) -> Findings:
    """The findings over one producer's numbers; `beats` maps an entry to the number that a heartbeat there names."""
    producers, findings = Producers(whole=whole), Findings()
    for index, number in enumerate(numbers):
        producers.number(Run("gateway", number, number, index), findings)
    for index, number in (beats or {}).items():
        producers.heartbeat(Heartbeat(index, MINUTES[0], {"gateway": number}), findings)
    producers.gaps(lost=lost, findings=findings)
    return findings


@pytest.mark.parametrize(
    ("numbers", "first"),
    [
        pytest.param([1, 2, 4], 2, id="a hole"),
        pytest.param([1, 2, 2, 3], 2, id="twice"),
        pytest.param([5, 6, 9, 8], 3, id="a hole that late ones leave"),
        pytest.param([1, 2, 3, 2], 3, id="again, late"),
    ],
)
def test_a_number_missing_or_repeated_is_found_at_its_entry(numbers: list[int], first: int) -> None:
    assert judged(numbers).by_kind[Kind.PRODUCER].first == first


@pytest.mark.parametrize("numbers", [[], [1], [7, 8, 9], [1, 3, 2, 4], [3, 2, 1]])
def test_a_run_without_holes_is_no_finding_in_any_order(numbers: list[int]) -> None:
    assert judged(numbers).by_kind == {}


@given(st.permutations(list(range(1, 30))))
def test_late_numbers_are_listed(numbers: list[int]) -> None:
    found = judged(numbers)
    late = sum(number < max(numbers[:at], default=0) for at, number in enumerate(numbers))
    assert found.by_kind == {}
    assert (found.warnings["late"].count if late else 0) == late


def test_a_heartbeat_that_knows_more_than_the_log_is_found() -> None:
    assert judged([1, 2], beats={1: 2, 5: 3}).by_kind[Kind.PRODUCER].first == 5


def test_a_heartbeat_s_number_may_come_after_it() -> None:
    assert judged([1, 2, 3], beats={0: 3}).by_kind == {}


def test_numbers_of_missing_entries_are_not_found_twice() -> None:
    found = judged([1, 2, 4], lost=1)
    assert found.by_kind == {}
    assert "1 numbers of producers are not there" in found.unchecked[0]
    assert Kind.PRODUCER in judged([1, 2, 5], lost=1).by_kind


def test_of_a_part_of_a_log_numbers_before_it_are_not_asked_for() -> None:
    assert judged([], beats={1: 9}, whole=False).by_kind == {}
    assert Kind.PRODUCER in judged([], beats={1: 9}).by_kind


def silence(*minutes: int, until: int, longest: float = 90, doubtful: int = -1) -> Findings:
    producers, findings = Producers(whole=True, longest_silence=longest), Findings()
    for at, minute in enumerate(minutes):
        producers.heartbeat(Heartbeat(at * 10, MINUTES[minute], {}, doubtful), findings)
    producers.end(first_time=MINUTES[0], last=(999, MINUTES[until]), doubtful=doubtful, findings=findings)
    return findings


@pytest.mark.parametrize(
    ("minutes", "until", "first"),
    [
        pytest.param((0, 1, 3, 4), 4, 10, id="between"), pytest.param((0, 1, 2), 4, 20, id="at the end"),
        pytest.param((), 5, 999, id="never"),
    ],
)  # fmt: skip
def test_silence_is_found(minutes: tuple[int, ...], until: int, first: int) -> None:
    assert silence(*minutes, until=until).by_kind[Kind.PRODUCER].first == first
    assert silence(*minutes, until=until, longest=600).by_kind == {}


def test_a_heartbeat_a_minute_is_no_silence_and_the_beginning_is_not_judged() -> None:
    assert silence(3, 4, 5, until=6).by_kind == {}
    assert silence(until=1).by_kind == {}


def test_silence_around_a_missing_entry_is_laid_to_it() -> None:
    found = silence(0, 3, until=4, doubtful=5)
    assert found.by_kind == {}
    assert "entry 5, missing or changed" in found.unchecked[0]
