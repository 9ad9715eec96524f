"""Fingerprints and public bodies."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.notifications.models import Alert, AlertDraft, Notification, fingerprint_of

TIME = datetime(2026, 1, 1, tzinfo=UTC)
DRAFT = AlertDraft("security", "error", "Many failed sign-ins", affected_stores=(12, "b"), labels={"a": "1", "b": "2"})
ALERT = Alert(
    id="a", alert_type="system", severity="error", title="t", description="", affected_stores=(), affected_systems=(),
    occurrence_count=1, first_occurred_at=TIME, last_occurred_at=TIME, is_resolved=False, resolved_at=None,
    resolved_by_user_id=None, resolution_notes=None, is_acknowledged=False, acknowledged_by_user_id=None,
    assigned_to_user_id=None, fingerprint="f", labels={}, previous_alert_id=None,
)  # fmt: skip


def test_a_given_fingerprint_is_the_identity() -> None:
    assert replace(DRAFT, fingerprint="given").identity == "given"


def test_the_computed_fingerprint_stays_what_it_was() -> None:
    # A new way of computing it would start every unresolved alert anew.
    assert DRAFT.identity == "ed4a1fb390dccf12109611588d222975e242ac56e1f7ddecc4c3dbc0898c99f3"


@given(stores=st.permutations([12, "b", "c"]), labels=st.permutations([("a", "1"), ("b", "2"), ("c", "3")]))
def test_order_makes_no_difference(stores: list[int | str], labels: list[tuple[str, str]]) -> None:
    expected = fingerprint_of("x", "t", (12, "b", "c"), (), {"a": "1", "b": "2", "c": "3"})
    assert fingerprint_of("x", "t", [*stores, stores[0]], (), dict(labels)) == expected


@pytest.mark.parametrize(
    "other",
    [
        replace(DRAFT, alert_type="system"),
        replace(DRAFT, title="Many failed sign-in"),
        replace(DRAFT, affected_stores=(12,)),
        replace(DRAFT, affected_stores=(), affected_systems=(12, "b")),
        replace(DRAFT, labels={"a": "1"}),
        replace(DRAFT, labels={"a": "2", "b": "1"}),
    ],
)
def test_another_type_title_store_system_or_label_makes_another(other: AlertDraft) -> None:
    assert other.identity != DRAFT.identity


@pytest.mark.parametrize("other", [replace(DRAFT, severity="info"), replace(DRAFT, description="more")])
def test_severity_and_description_make_no_difference(other: AlertDraft) -> None:
    assert other.identity == DRAFT.identity


def test_an_unread_notification_names_no_reader() -> None:
    unread = Notification(
        position=1, id="n", type="x", priority="normal", title="t", message="", action_required=False, action_url=None,
        metadata={}, created_at=TIME, is_read=False, read_at=TIME,
    )  # fmt: skip
    body = unread.body(admin_id="admin")
    assert (body["is_read"], body["read_at"], body["read_by_user_id"]) == (False, None, None)
    read = replace(unread, is_read=True).body(admin_id="admin")
    assert (read["is_read"], read["read_at"], read["read_by_user_id"]) == (True, "2026-01-01T00:00:00.000000Z", "admin")


def test_the_timeline_tells_what_happened_in_order() -> None:
    alert = replace(ALERT, occurrence_count=3, resolved_at=TIME, is_resolved=True, resolution_notes="done")
    assert [entry["what"] for entry in alert.timeline()] == ["raised", "repeated", "resolved"]
    assert [entry["what"] for entry in ALERT.timeline()] == ["raised"]
