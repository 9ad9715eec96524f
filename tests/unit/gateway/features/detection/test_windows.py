"""Thresholds to the second and the piece, and that it makes no difference in what portions facts come."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import cycle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.facts import FactKind
from services.gateway.features.detection.models.rules import BUILTIN, EVENT_TYPES, GroupBy, Rule, check_cooldown
from services.gateway.features.detection.models.windows import Episode, Episodes, JudgedFact, Trial, Windows

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
RULE = Rule("guesses", FactKind.FAILED_LOGIN, GroupBy.USER, 3, 60, 100, "high")


def fact(position: int, seconds: float, **given_: Any) -> JudgedFact:
    found = JudgedFact(position, NOON + timedelta(seconds=seconds), FactKind.FAILED_LOGIN, user_id="ada")
    return replace(found, **given_)


def found_by(rule: Rule, facts: Sequence[JudgedFact]) -> list[tuple[str, float, int]]:
    trial = Trial(rule)
    trial.add(facts)
    return [(one.group, (one.began_at - NOON).total_seconds(), one.count) for one in trial.found]


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        ((0, 1), []),
        ((0, 1, 2), [("ada", 2, 1)]),
        ((0, 0, 0), [("ada", 0, 1)]),
        ((0, 30, 59.999999), [("ada", 59.999999, 1)]),
        ((0, 30, 60), []),
        ((0, 30, 60, 61), [("ada", 61, 1)]),
        ((0, 1, 2, 3, 4), [("ada", 2, 3)]),
        ((0, 1, 2, 100, 101, 101.999999), [("ada", 2, 2)]),
        ((0, 1, 2, 100, 101, 102), [("ada", 2, 1), ("ada", 102, 1)]),
    ],
    ids=range(9),
)
def test_the_threshold_is_reached_within_the_window_and_counted_on_until_it_cooled_down(
    seconds: tuple[float, ...], expected: list[tuple[str, float, int]]
) -> None:
    assert found_by(RULE, [fact(number, at) for number, at in enumerate(seconds, 1)]) == expected


def test_groups_are_counted_apart_and_a_fact_of_nobody_not_at_all() -> None:
    users = ["ada", "bob", None, "ada", "bob", None, None, "bob"]
    assert found_by(RULE, [fact(n, n, user_id=user) for n, user in enumerate(users)]) == [("bob", 7, 1)]


@pytest.mark.parametrize("group_by", GroupBy)
def test_each_grouping_looks_at_its_own_member(group_by: GroupBy) -> None:
    members: dict[GroupBy, dict[str, Any]] = {
        GroupBy.USER: {"user_id": "x"}, GroupBy.CLIENT: {"client_id": "x"}, GroupBy.SESSION: {"session_id": "x"},
        GroupBy.ADDRESS: {"place": "x"}, GroupBy.SENDER_AND_REASON: {"client_id": "x", "details": {"reason": "y"}},
    }  # fmt: skip
    named = members[group_by]
    bare = JudgedFact(1, NOON, FactKind.FAILED_LOGIN)
    same = [replace(bare, position=number, **named) for number in range(3)]
    group = "x:y" if group_by is GroupBy.SENDER_AND_REASON else "x"
    assert found_by(replace(RULE, group_by=group_by), same) == [(group, 0, 1)]
    assert found_by(replace(RULE, group_by=group_by), [replace(bare, position=n) for n in range(3)]) == []


def test_what_bears_one_key_counts_once_and_from_its_last_time_on() -> None:
    keyed = [fact(1, 0, key="a"), fact(2, 10, key="b"), fact(3, 20, key="a"), fact(4, 30, key="b")]
    assert found_by(RULE, keyed) == []
    # At 65 the first sight of each is out of the window, the second is not.
    assert found_by(RULE, [*keyed, fact(5, 65, key="c")]) == [("ada", 65, 1)]
    assert found_by(RULE, [*keyed, fact(5, 80, key="c")]) == []


def test_a_weight_counts_as_so_many() -> None:
    assert found_by(RULE, [fact(1, 0, key="a", weight=2)]) == []
    assert found_by(RULE, [fact(1, 0, key="a", weight=2), fact(2, 1, key="b")]) == [("ada", 1, 1)]


def test_a_threshold_of_one_without_cooling_down_raises_each() -> None:
    rule = replace(RULE, threshold=1, cooldown_seconds=0)
    assert found_by(rule, [fact(1, 0), fact(2, 0), fact(3, 5)]) == [("ada", 0, 1), ("ada", 0, 1), ("ada", 5, 1)]


def test_a_rule_that_is_off_and_a_fact_of_another_kind_find_nothing() -> None:
    facts = [fact(number, number) for number in range(5)]
    windows = Windows([replace(RULE, enabled=False)])
    assert [trigger for one in facts for trigger in windows.add(one)] == []
    assert found_by(replace(RULE, kind=FactKind.TARGET_READ), facts) == []


def test_memory_is_bounded_and_quiet_groups_are_forgotten() -> None:
    windows = Windows([RULE], most_entries=10)
    for number in range(100):
        windows.add(fact(number, number / 1000, user_id=f"u{number}"))
    assert len(windows) == 10
    windows.add(fact(100, 200))
    assert len(windows) == 1
    for number in range(101, 200):
        windows.add(fact(number, 200))
    assert len(windows) == RULE.threshold


def test_every_builtin_rule_may_hold_and_every_kind_has_one() -> None:
    for rule in BUILTIN:
        check_cooldown(
            threshold=rule.threshold, window_seconds=rule.window_seconds, cooldown_seconds=rule.cooldown_seconds
        )
    assert {rule.kind for rule in BUILTIN} == set(FactKind) == set(EVENT_TYPES)
    assert len({rule.name for rule in BUILTIN}) == len(BUILTIN)


_RULES = st.builds(
    Rule,
    name=st.just("any"),
    kind=st.just(FactKind.FAILED_LOGIN),
    group_by=st.sampled_from(GroupBy),
    threshold=st.integers(1, 4),
    window_seconds=st.integers(1, 20),
    cooldown_seconds=st.integers(20, 60),
    severity=st.just("low"),
)
_NAMES = st.none() | st.sampled_from("ab")
_FACTS = st.lists(
    st.builds(
        JudgedFact,
        position=st.just(0),
        at=st.integers(0, 40),
        kind=st.sampled_from([FactKind.FAILED_LOGIN, FactKind.TARGET_READ]),
        user_id=_NAMES,
        client_id=_NAMES,
        session_id=_NAMES,
        place=_NAMES,
        key=st.none() | st.sampled_from("xyz"),
        weight=st.integers(1, 3),
        details=st.sampled_from([{}, {"reason": "one"}, {"reason": "two"}]),
    ),
    max_size=40,
)


@given(_RULES, _FACTS, st.lists(st.tuples(st.integers(1, 7), st.booleans()), min_size=1))
def test_a_dry_run_finds_what_was_raised_however_the_facts_came_and_whoever_judged(
    rule: Rule, given_: list[JudgedFact], turns: list[tuple[int, bool]]
) -> None:
    times = sorted(int(one.at) for one in given_)  # type: ignore[call-overload]
    facts = [
        replace(one, position=number, at=NOON + timedelta(seconds=time))
        for number, (one, time) in enumerate(zip(given_, times, strict=True), 1)
    ]
    raised: dict[str, Episode] = {}
    windows, judged = Windows([rule]), 0
    for size, starts_anew in cycle(turns):
        if judged >= len(facts):
            break
        if starts_anew:
            # Another gateway has its turn, or this one was started again: it reads up on what the rule reaches back to.
            windows = Windows([rule])
            clock = facts[judged - 1].at if judged else NOON
            for one in facts[:judged]:
                if one.at > clock - windows.reach:
                    windows.add(one)
        last = {}
        for known in raised.values():
            last[known.rule, known.group] = replace(known, trigger=None)
        episodes = Episodes(last.values())
        for one in facts[judged : judged + size]:
            for trigger in windows.add(one):
                episodes.add(trigger)
        raised |= {one.fingerprint: one for one in episodes.touched}
        judged += size
    trial = Trial(rule)
    trial.add(facts)
    expected = {one.fingerprint: (one.began_at, one.last_at, one.count) for one in trial.found}
    assert {name: (one.began_at, one.last_at, one.count) for name, one in raised.items()} == expected
    assert expected == _by_hand(rule, facts)


def _by_hand(rule: Rule, facts: Sequence[JudgedFact]) -> dict[str, tuple[datetime, datetime, int]]:
    """The same, written down from what a rule is said to be, looking at all facts for each."""
    found: dict[str, tuple[datetime, datetime, int]] = {}
    last: dict[str, str] = {}
    for number, one in enumerate(facts):
        group = _group(rule, one)
        if one.kind is not rule.kind or group is None:
            continue
        begin = one.at - timedelta(seconds=rule.window_seconds)
        weights = {
            other.key or other.position: other.weight
            for other in facts[: number + 1]
            if other.kind is rule.kind and _group(rule, other) == group and other.at > begin
        }
        if sum(weights.values()) < rule.threshold:
            continue
        current = last.get(group)
        if current is not None and one.at < found[current][0] + timedelta(seconds=rule.cooldown_seconds):
            began, _, count = found[current]
            found[current] = (began, one.at, count + 1)
        else:
            last[group] = f"{rule.name}:{group}:{one.position}"
            found[last[group]] = (one.at, one.at, 1)
    return found


def _group(rule: Rule, one: JudgedFact) -> str | None:
    if rule.group_by is GroupBy.SENDER_AND_REASON:
        parts = (one.client_id, one.details.get("reason"))
        return f"{parts[0]}:{parts[1]}" if None not in parts else None
    member = {"user": "user_id", "client": "client_id", "session": "session_id", "address": "place"}[rule.group_by]
    found: str | None = getattr(one, member)
    return found
