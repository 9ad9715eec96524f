"""Who hears what, and what is said."""

import pytest

from libs.common.events.all_types import CATALOG
from libs.common.events.catalog import OutcomeData
from libs.common.identity import Actor, ActorType, Level
from services.gateway.access.permissions import permissions_of
from services.gateway.stream.topics import PERMISSIONS, Topic, hears, may_hear, said, topics_of
from tests.support.makers import an_event


def admin(role: str = "super_admin", actor_id: str = "one") -> Actor:
    permissions = frozenset(permissions_of(role))
    return Actor(actor_id, ActorType.ADMIN, "a@example.com", role, Level.ADMIN, permissions)


@pytest.mark.parametrize(
    ("wire_type", "topics"),
    [
        ("reeve.setting.changed.v1", {Topic.AUDIT, Topic.SETTINGS, Topic.OPERATIONS}),
        ("reeve.alert.raised.v1", {Topic.AUDIT, Topic.ALERTS, Topic.OPERATIONS}),
        ("reeve.notification.created.v1", {Topic.AUDIT, Topic.NOTIFICATIONS, Topic.OPERATIONS}),
        ("reeve.operation.accepted.v1", {Topic.AUDIT, Topic.OPERATIONS}),
        ("reeve.operation.rejected.v1", {Topic.AUDIT, Topic.OPERATIONS}),
        ("reeve.request.recorded.v1", {Topic.AUDIT}),
        ("reeve.security_event.raised.v1", {Topic.AUDIT, Topic.ALERTS}),
        ("reeve.security_rule.changed.v1", {Topic.AUDIT}),
        ("com.shop.order.placed", {Topic.AUDIT}),
        ("reeve.settings", {Topic.AUDIT}),
    ],
)
def test_an_event_appears_under_its_topics(wire_type: str, topics: set[Topic]) -> None:
    assert topics_of(wire_type) == topics


def test_every_outcome_is_told_under_operations() -> None:
    assert all(Topic.OPERATIONS in topics_of(model.TYPE) for model in CATALOG if issubclass(model, OutcomeData))


@pytest.mark.parametrize("role", ["super_admin", "admin", "moderator", "viewer"])
def test_a_topic_needs_its_permission(role: str) -> None:
    actor = admin(role)
    assert {topic for topic in Topic if may_hear(actor, topic)} == {
        topic for topic in Topic if topic not in PERMISSIONS or actor.may(PERMISSIONS[topic])
    }


def test_a_moderator_hears_of_their_own_operations_alone() -> None:
    own, others = an_event(actorid="one"), an_event(actorid="two")
    assert hears(admin("moderator"), Topic.OPERATIONS, own)
    assert not hears(admin("moderator"), Topic.OPERATIONS, others)
    assert hears(admin("viewer"), Topic.OPERATIONS, others)


def test_what_somebody_has_read_is_told_to_nobody_else() -> None:
    for wire_type in ("reeve.notification.read.v1", "reeve.notification.read_all.v1", "reeve.notification.unread.v1"):
        event = an_event(type=wire_type, actorid="two")
        assert CATALOG.find(wire_type) is not None
        assert not hears(admin(), Topic.NOTIFICATIONS, event)
        assert hears(admin(actor_id="two"), Topic.NOTIFICATIONS, event)


def test_what_is_for_one_person_is_told_to_nobody_else() -> None:
    event = an_event(type="reeve.notification.created.v1", actorid="one", data={"recipient_user_id": "two"})
    assert not hears(admin(), Topic.NOTIFICATIONS, event)
    assert hears(admin(actor_id="two"), Topic.NOTIFICATIONS, event)
    for everybodys in ({}, {"recipient_user_id": None}):
        told = an_event(type="reeve.notification.created.v1", data=everybodys)
        assert hears(admin(), Topic.NOTIFICATIONS, told)


def test_security_events_are_among_the_alerts_for_whoever_may_read_them() -> None:
    event = an_event(type="reeve.security_event.raised.v1", data={"event_type": "mass_read", "ip_address": "192.0.2.7"})
    assert hears(admin("viewer"), Topic.ALERTS, event)
    assert may_hear(admin("moderator"), Topic.ALERTS)
    assert not hears(admin("moderator"), Topic.ALERTS, event)
    assert said(Topic.ALERTS, event)["data"]["event_type"] == "mass_read"


def test_where_somebody_was_is_told_to_nobody() -> None:
    data = {"origin": {"ip_address": "192.0.2.7"}, "key": "a", "status": 200}
    for topic in set(Topic) - {Topic.METRICS}:
        assert "192.0.2.7" not in str(said(topic, an_event(type="reeve.setting.changed.v1", data=data)))


def test_the_audit_topic_names_the_action() -> None:
    told = said(Topic.AUDIT, an_event(data={"action": "list_settings", "outcome": "denied"}))
    assert (told["action"], told["outcome"], told["severity"]) == ("list_settings", "denied", "info")
