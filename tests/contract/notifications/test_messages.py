"""The messages of notifications, alerts and platforms: examples fit, bodies have the members of the public contract."""

import pytest

from libs.common.events import notifications, platform
from libs.common.events.all_types import CATALOG
from libs.common.events.catalog import MessageData, new_event

NOTIFICATION = {
    "id", "type", "priority", "title", "message", "is_read", "read_at", "read_by_user_id", "action_required", "action_url",
    "notification_metadata", "recipient_user_id", "created_at",
}  # fmt: skip
ALERT = {
    "id", "alert_type", "severity", "title", "description", "affected_stores", "affected_systems", "occurrence_count",
    "first_occurred_at", "last_occurred_at", "is_resolved", "resolved_at", "resolved_by_user_id", "resolution_notes",
    "is_acknowledged", "acknowledged_by_user_id", "assigned_to_user_id", "fingerprint", "labels", "previous_alert_id",
}  # fmt: skip
MODELS = [
    thing
    for area in (notifications, platform)
    for thing in vars(area).values()
    if isinstance(thing, type) and issubclass(thing, MessageData) and "TYPE" in vars(thing)
]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.TYPE)
def test_the_example_fits_and_is_in_the_catalogue(model: type[MessageData]) -> None:
    assert CATALOG.find(model.TYPE) is model
    example = model.model_validate(model.EXAMPLE)
    assert CATALOG.check(new_event(example, subject=None, source="/x")) is None
    assert model.model_json_schema()["type"] == "object"


@pytest.mark.parametrize(
    ("model", "members"),
    [
        (notifications.NotificationCreated, NOTIFICATION),
        (notifications.NotificationRead, NOTIFICATION),
        (notifications.NotificationUnread, NOTIFICATION),
        (notifications.AlertRaised, ALERT),
        (notifications.AlertRepeated, ALERT),
        (notifications.AlertResolved, ALERT),
    ],
)
def test_the_event_carries_the_whole_public_body(model: type[MessageData], members: set[str]) -> None:
    made = new_event(model.model_validate(model.EXAMPLE), subject=None)
    assert set(made.data["result"]) == members


@pytest.mark.parametrize("model", [model for model in MODELS if model.SOURCE == "*"], ids=lambda model: model.TYPE)
def test_a_platform_may_say_more_than_is_documented(model: type[MessageData]) -> None:
    data = {**model.EXAMPLE, "own_member": {"deep": [1]}, "origin": "LU"}
    assert CATALOG.check(new_event(model.model_validate(data), subject=None, source="/platform/shop")) is None


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("platform.import.completed.v1", {"errors_count": -1}),
        ("platform.import.completed.v1", {"errors_count": "several"}),
        ("platform.import.failed.v1", {"store_name": 5}),
        ("platform.security.alert.v1", {"severity": "apocalyptic"}),
    ],
)
def test_a_documented_member_of_the_wrong_kind_is_refused(kind: str, data: dict[str, object]) -> None:
    model = CATALOG.find(kind)
    assert model is not None
    event = new_event(model.model_validate(model.EXAMPLE), subject=None, source="/platform/shop")
    event.data.update(data)
    assert CATALOG.check(event) is not None
