"""What an entry must say so that its undoing is offered."""

from typing import Any

import pytest

from services.gateway.features.audit.models import REGISTRY, undo_of

ID = "0199a0c0-0000-7000-8000-000000000001"


def entry(kind: str = "reeve.setting.changed.v1", **given: Any) -> dict[str, Any]:
    """An entry as the audit service answers it."""
    return {
        "id": ID, "event_type": kind, "outcome": "success", "target_id": "shop.trial_days",
        "details": {"version": 5}, "changes": {"value": {"old": 7, "new": 14}}, **given,
    }  # fmt: skip


def test_a_changed_setting_is_rolled_back_while_it_has_the_version_of_the_change() -> None:
    undo = undo_of(entry())
    assert undo is not None
    assert (undo.method, undo.path) == ("POST", "/api/v1/admin/settings/shop.trial_days/rollback")
    assert (undo.body, undo.headers) == ({"version": 4, "reason": "undone"}, {"If-Match": '"5"'})
    assert undo.permission == "settings:write"


@pytest.mark.parametrize("old", [0, False, "", [], {}])
def test_a_value_that_counts_as_nothing_is_a_value(old: Any) -> None:
    assert undo_of(entry(changes={"value": {"old": old, "new": 1}})) is not None


@pytest.mark.parametrize(
    "given",
    [
        {"changes": {"value": {"old": "[redacted]", "new": "[redacted]"}}},
        {"changes": {"value": {"new": 14}}},
        {"changes": {"value": {"old": 7, "new": 14}, "category": {"old": "a", "new": "b"}}},
        {"changes": {}},
        {"changes": None},
        {"details": {}},
        {"details": {"version": 1}},
        {"details": {"version": 5, "_truncated": True}},
        {"outcome": "failure"},
        {"outcome": "denied"},
        {"target_id": None},
        {"event_type": "reeve.setting.deleted.v1"},
        {"event_type": "com.shop.order.placed.v1"},
    ],
)
def test_what_an_entry_does_not_say_is_not_guessed(given: dict[str, Any]) -> None:
    assert undo_of(entry(**given)) is None


@pytest.mark.parametrize("kind", REGISTRY)
def test_no_text_of_an_entry_leads_out_of_its_route(kind: str) -> None:
    changes = {"value": {"old": 1}, "role": {"old": "viewer"}, "is_active": {"old": True}}
    told = changes if kind.startswith("reeve.user") else {"value": {"old": 1}}
    undo = undo_of(entry(kind, target_id="../users/x?a=b#c", changes=told))
    assert undo is not None
    assert "..%2Fusers%2Fx%3Fa%3Db%23c" in undo.path
