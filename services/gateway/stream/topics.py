"""Which events belong to which topic of the stream, who may hear it, and what is said. Pure."""

from enum import StrEnum
from typing import Any

from libs.common.events.all_types import CATALOG
from libs.common.events.catalog import OutcomeData, action_of
from libs.common.events.envelope import Event, rfc3339
from libs.common.events.notifications import (
    NotificationCreated,
    NotificationRead,
    NotificationsRead,
    NotificationUnread,
)
from libs.common.identity import Actor


class Topic(StrEnum):
    """What a client may listen to."""

    NOTIFICATIONS = "notifications"
    ALERTS = "alerts"
    AUDIT = "audit"
    SETTINGS = "settings"
    OPERATIONS = "operations"
    METRICS = "metrics"


PERMISSIONS = {
    Topic.NOTIFICATIONS: "notifications:read",
    Topic.ALERTS: "alerts:read",
    Topic.AUDIT: "audit:read",
    Topic.SETTINGS: "settings:read",
    Topic.METRICS: "system:read",
}
"""The permission each topic needs; one's own operations need none."""

SECURITY = "reeve.security_event."
"""Told among the alerts, to those who may also read security events."""
_PREFIXES = (
    ("reeve.notification.", Topic.NOTIFICATIONS),
    ("reeve.alert.", Topic.ALERTS),
    (SECURITY, Topic.ALERTS),
    ("reeve.setting.", Topic.SETTINGS),
    ("reeve.operation.", Topic.OPERATIONS),
)

_PERSONAL = frozenset({NotificationRead.TYPE, NotificationUnread.TYPE, NotificationsRead.TYPE})
"""What an administrator has read is nobody else's."""


def topics_of(event_type: str) -> frozenset[Topic]:
    """The topics that an event of this type appears under; every event is one for the audit."""
    found = {Topic.AUDIT} | {topic for prefix, topic in _PREFIXES if event_type.startswith(prefix)}
    model = CATALOG.find(event_type)
    if model is not None and issubclass(model, OutcomeData):
        found.add(Topic.OPERATIONS)
    return frozenset(found)


def may_hear(actor: Actor, topic: Topic) -> bool:
    """Whether an actor may listen to a topic at all."""
    permission = PERMISSIONS.get(topic)
    return permission is None or actor.may(permission)


def hears(actor: Actor, topic: Topic, event: Event) -> bool:
    """Whether this one event is for this actor: of operations one hears one's own, an auditor all;
    of what was read, and of what is for one person, one hears only one's own."""
    match topic:
        case Topic.OPERATIONS:
            return event.actorid == actor.id or actor.may("audit:read")
        case Topic.NOTIFICATIONS if event.type in _PERSONAL:
            return event.actorid == actor.id
        case Topic.NOTIFICATIONS if event.type == NotificationCreated.TYPE:
            return event.data.get("recipient_user_id") in (None, actor.id)
        case Topic.ALERTS if event.type.startswith(SECURITY):
            return actor.may("security:read")
        case _:
            return True


def said(topic: Topic, event: Event) -> dict[str, Any]:
    """What a client is told of an event under a topic."""
    told: dict[str, Any] = {
        "id": event.id,
        "type": event.type,
        "time": rfc3339(event.time),
        "subject": event.subject,
        "actor_id": event.actorid,
    }
    data = event.data if isinstance(event.data, dict) else {}
    match topic:
        case Topic.AUDIT:
            told |= {
                "action": action_of(event, CATALOG),
                "outcome": data.get("outcome", "success"),
                "source": event.source,
            }
            told["severity"] = event.severity
        case Topic.OPERATIONS:
            told |= {"operation_id": data.get("operation_id") or event.causationid, "status": data.get("status")}
            told["error"] = data.get("error")
        case Topic.NOTIFICATIONS | Topic.ALERTS | Topic.SETTINGS:
            told |= {"data": {name: value for name, value in data.items() if name not in ("origin", "status")}}
        case Topic.METRICS:
            told |= {"data": data}
    return told
