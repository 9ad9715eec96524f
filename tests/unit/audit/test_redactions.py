"""What a redaction takes from an entry, and what it leaves."""

from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.audit.models.commitments import PATHS
from services.audit.models.entries import Entry
from services.audit.models.redactions import CONTENT, IDENTITY, Found, Subject, concerns, spans_of, words_left
from services.audit.models.words import words_of

ADA = Subject("user", "u-ada")
ENTRY = Entry(
    event_id="e1", event_type="reeve.setting.changed.v1", action="update_setting", target_type="setting",
    target_id="theme", admin_user_id="u-ada", admin_username="ada@example.com", actor_type="admin", actor_id=None,
    outcome="success", severity="info", details='{"note":"spring"}', changes='{"value":{"old":1,"new":"dark"}}',
    ip_address="203.0.113.7", user_agent="Firefox", request_id="r1", operation_id=None, trace_id=None,
    correlation_id=None, source="/reeve/settings", producer="settings", producer_seq=1,
    created_at=datetime(2026, 1, 31, tzinfo=UTC), words=[],
)  # fmt: skip


def found(**changed: Any) -> Found:
    return Found(7, ENTRY._replace(**changed), frozenset())


@pytest.mark.parametrize(
    ("changed", "paths"),
    [
        ({}, IDENTITY),
        ({"details": '{"email":"ada@example.com"}'}, PATHS),
        ({"changes": '{"allow":{"new":["203.0.113.7"]}}'}, PATHS),
        ({"details": '{"device":"Firefox"}', "changes": None}, (*IDENTITY[:1], "/details", *IDENTITY[1:])),
        ({"ip_address": None, "user_agent": ""}, ("/admin_username", "/user_agent")),
        ({"target_type": "user", "target_id": "u-ada"}, PATHS),
        ({"target_type": "user", "target_id": "u-ada", "admin_user_id": "u-bob"}, CONTENT),
        ({"target_type": "user", "target_id": "u-ada", "event_type": "reeve.user.erased.v1"}, IDENTITY),
        ({"target_type": "user", "target_id": "u-ada", "admin_user_id": None, "admin_username": None}, PATHS[1:]),
        ({"target_type": "user", "target_id": "u-bob", "admin_user_id": None, "admin_username": None}, ()),
        ({"target_type": "saved_search", "target_id": "s-1"}, PATHS),
        ({"target_type": "saved_search", "target_id": "s-1", "admin_user_id": "u-bob"}, ()),
        ({"target_type": "session", "target_id": "u-ada", "admin_user_id": "u-bob"}, ()),
        ({"admin_user_id": "u-bob"}, ()),
    ],
)
def test_what_tells_of_the_subject_is_taken_and_nothing_else(changed: dict[str, Any], paths: tuple[str, ...]) -> None:
    assert concerns(ADA, found(**changed)) == paths


def test_a_subject_that_cannot_act_is_a_target_alone() -> None:
    assert concerns(Subject("customer", "u-ada"), found()) == ()
    assert concerns(Subject("setting", "theme"), found()) == CONTENT


@given(st.frozensets(st.sampled_from(PATHS)))
def test_what_is_lost_is_not_taken_again(lost: frozenset[str]) -> None:
    whole = found(target_type="user", target_id="u-ada")
    assert concerns(ADA, replace(whole, lost=lost)) == tuple(path for path in PATHS if path not in lost)


@given(st.frozensets(st.sampled_from(PATHS)))
def test_words_are_those_of_what_is_left(paths: frozenset[str]) -> None:
    words = frozenset(words_left(ENTRY, paths))
    assert words <= frozenset(words_left(ENTRY, ()))
    assert ("spring" in words) == ("/details" not in paths)
    assert ("dark" in words) == ("/changes" not in paths)
    assert ("ada" in words) == ("/admin_username" not in paths)
    assert frozenset(words_of(("update_setting", "setting", "theme"))) <= words


@given(st.sets(st.integers(0, 60)))
def test_spans_are_the_places_in_as_few_pieces_as_can_be(places: set[int]) -> None:
    spans = [(one, one) if isinstance(one, int) else one for one in spans_of(sorted(places))]
    assert {place for first, last in spans for place in range(first, last + 1)} == places
    assert all(last + 1 < first for (_, last), (first, _) in pairwise(spans))
