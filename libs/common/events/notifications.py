"""Messages about notifications and alerts: what may be asked of the service, and what it tells of.

The events carry the public body as `result`, so that live updates and operations can show it as it is.
"""

from typing import Any, ClassVar, Literal

from pydantic import Field

from libs.common.events.catalog import Change, CommandData, OutcomeData
from libs.common.events.notification_fields import (
    ActionUrl,
    Affected,
    AlertSeverity,
    AlertType,
    Fingerprint,
    Labels,
    Metadata,
    Notes,
    NotificationType,
    Priority,
    Text,
    Title,
)

_SOURCE = "/reeve/notifications"
_GATEWAY = "/reeve/gateway"
_ID = "0199a0c0-0000-7000-8000-000000000001"
_NOTIFICATION = {
    "id": _ID, "type": "import_failure", "priority": "high", "title": "Import failed: Rose & Co",
    "message": "The import stopped: the file could not be read.", "is_read": False, "read_at": None,
    "read_by_user_id": None, "action_required": True, "action_url": "/imports/4711",
    "notification_metadata": {"store_id": 12, "job_id": 4711}, "recipient_user_id": None, "created_at": "2026-01-01T00:00:00.000000Z",
}  # fmt: skip
_ALERT = {
    "id": _ID, "alert_type": "security", "severity": "critical", "title": "Many failed sign-ins", "description": "",
    "affected_stores": [12], "affected_systems": ["gateway"], "occurrence_count": 1,
    "first_occurred_at": "2026-01-01T00:00:00.000000Z", "last_occurred_at": "2026-01-01T00:00:00.000000Z",
    "is_resolved": False, "resolved_at": None, "resolved_by_user_id": None, "resolution_notes": None,
    "is_acknowledged": False, "acknowledged_by_user_id": None, "assigned_to_user_id": None,
    "fingerprint": "many-failed-sign-ins", "labels": {}, "previous_alert_id": None,
}  # fmt: skip


class CreateNotification(CommandData):
    """Tell every administrator something."""

    TYPE: ClassVar[str] = "reeve.command.notification.create.v1"
    SOURCE: ClassVar[str] = _GATEWAY
    ACTION: ClassVar[str] = "create_notification"
    EXAMPLE: ClassVar[dict[str, Any]] = {
        "action": "create_notification", "type": "announcement", "title": "Maintenance tonight", "message": "From 22:00 UTC.",
    }  # fmt: skip

    action: Literal["create_notification"] = "create_notification"
    type: NotificationType
    priority: Priority = "normal"
    title: Title
    message: Text = ""
    action_required: bool = False
    action_url: ActionUrl | None = None
    notification_metadata: Metadata = Field(default_factory=dict)


class ReadNotification(CommandData):
    """The acting administrator has read this one."""

    TYPE: ClassVar[str] = "reeve.command.notification.read.v1"
    SOURCE: ClassVar[str] = _GATEWAY
    ACTION: ClassVar[str] = "read_notification"
    EXAMPLE: ClassVar[dict[str, Any]] = {"action": "read_notification", "notification_id": _ID}

    action: Literal["read_notification"] = "read_notification"
    notification_id: str


class UnreadNotification(CommandData):
    """The acting administrator wants this one to count as unread again."""

    TYPE: ClassVar[str] = "reeve.command.notification.unread.v1"
    SOURCE: ClassVar[str] = _GATEWAY
    ACTION: ClassVar[str] = "unread_notification"
    EXAMPLE: ClassVar[dict[str, Any]] = {"action": "unread_notification", "notification_id": _ID}

    action: Literal["unread_notification"] = "unread_notification"
    notification_id: str


class ReadAllNotifications(CommandData):
    """The acting administrator has read everything there is up to now."""

    TYPE: ClassVar[str] = "reeve.command.notification.read_all.v1"
    SOURCE: ClassVar[str] = _GATEWAY
    ACTION: ClassVar[str] = "read_all_notifications"
    EXAMPLE: ClassVar[dict[str, Any]] = {"action": "read_all_notifications"}

    action: Literal["read_all_notifications"] = "read_all_notifications"


class DeleteNotification(CommandData):
    """Remove a notification, for everybody."""

    TYPE: ClassVar[str] = "reeve.command.notification.delete.v1"
    SOURCE: ClassVar[str] = _GATEWAY
    ACTION: ClassVar[str] = "delete_notification"
    EXAMPLE: ClassVar[dict[str, Any]] = {"action": "delete_notification", "notification_id": _ID}

    action: Literal["delete_notification"] = "delete_notification"
    notification_id: str


class RaiseAlert(CommandData):
    """Something is wrong: a new alert, or one more occurrence of the unresolved one with this fingerprint."""

    TYPE: ClassVar[str] = "reeve.command.alert.raise.v1"
    SOURCE: ClassVar[str] = _GATEWAY
    ACTION: ClassVar[str] = "raise_alert"
    EXAMPLE: ClassVar[dict[str, Any]] = {
        "action": "raise_alert", "alert_type": "security", "severity": "critical", "title": "Many failed sign-ins",
    }  # fmt: skip

    action: Literal["raise_alert"] = "raise_alert"
    alert_type: AlertType
    severity: AlertSeverity = "warning"
    title: Title
    description: Text = ""
    affected_stores: Affected = Field(default_factory=list)
    affected_systems: Affected = Field(default_factory=list)
    fingerprint: Fingerprint | None = None
    labels: Labels = Field(default_factory=dict)


class ResolveAlert(CommandData):
    """Somebody dealt with an alert."""

    TYPE: ClassVar[str] = "reeve.command.alert.resolve.v1"
    SOURCE: ClassVar[str] = _GATEWAY
    ACTION: ClassVar[str] = "resolve_alert"
    EXAMPLE: ClassVar[dict[str, Any]] = {
        "action": "resolve_alert",
        "alert_id": _ID,
        "resolution_notes": "password reset",
    }

    action: Literal["resolve_alert"] = "resolve_alert"
    alert_id: str
    resolution_notes: Notes | None = None


class NotificationCreated(OutcomeData):
    """There is a new notification, asked for by an administrator or made by a rule (`rule`) from an event.

    It is for everybody, or for `recipient_user_id` alone.
    """

    TYPE: ClassVar[str] = "reeve.notification.created.v1"
    SOURCE: ClassVar[str] = _SOURCE
    ACTION: ClassVar[str] = "create_notification"
    EXAMPLE: ClassVar[dict[str, Any]] = {
        "status": 201, "notification_id": _ID, "type": "import_failure", "priority": "high", "title": "Import failed: Rose & Co",
        "rule": "import_failed", "result": _NOTIFICATION,
    }  # fmt: skip

    notification_id: str
    type: str
    priority: Priority
    title: str
    rule: str | None = None
    recipient_user_id: str | None = None


class NotificationRead(OutcomeData):
    """One administrator has read a notification; `result` is as that administrator sees it."""

    TYPE: ClassVar[str] = "reeve.notification.read.v1"
    SOURCE: ClassVar[str] = _SOURCE
    ACTION: ClassVar[str] = "read_notification"
    EXAMPLE: ClassVar[dict[str, Any]] = {
        "status": 200, "notification_id": _ID, "admin_id": _ID, "changes": {"is_read": {"old": False, "new": True}},
        "result": {**_NOTIFICATION, "is_read": True, "read_at": "2026-01-01T00:01:00.000000Z", "read_by_user_id": _ID},
    }  # fmt: skip

    notification_id: str
    admin_id: str
    changes: dict[str, Change]


class NotificationUnread(OutcomeData):
    """One administrator has put a notification back among the unread."""

    TYPE: ClassVar[str] = "reeve.notification.unread.v1"
    SOURCE: ClassVar[str] = _SOURCE
    ACTION: ClassVar[str] = "unread_notification"
    EXAMPLE: ClassVar[dict[str, Any]] = {
        "status": 200, "notification_id": _ID, "admin_id": _ID, "changes": {"is_read": {"old": True, "new": False}},
        "result": _NOTIFICATION,
    }  # fmt: skip

    notification_id: str
    admin_id: str
    changes: dict[str, Change]


class NotificationsRead(OutcomeData):
    """One administrator has read everything up to `read_up_to`, a notification's position."""

    TYPE: ClassVar[str] = "reeve.notification.read_all.v1"
    SOURCE: ClassVar[str] = _SOURCE
    ACTION: ClassVar[str] = "read_all_notifications"
    EXAMPLE: ClassVar[dict[str, Any]] = {
        "status": 200, "admin_id": _ID, "read_up_to": 512, "result": {"unread_count": 0},
    }  # fmt: skip

    admin_id: str
    read_up_to: int


class NotificationDeleted(OutcomeData):
    """A notification is gone, for everybody."""

    TYPE: ClassVar[str] = "reeve.notification.deleted.v1"
    SOURCE: ClassVar[str] = _SOURCE
    ACTION: ClassVar[str] = "delete_notification"
    EXAMPLE: ClassVar[dict[str, Any]] = {
        "status": 204, "notification_id": _ID, "type": "announcement", "title": "Maintenance tonight",
    }  # fmt: skip

    notification_id: str
    type: str
    title: str


class AlertRaised(OutcomeData):
    """A new alert; `rule` names what made it, unless an administrator did."""

    TYPE: ClassVar[str] = "reeve.alert.raised.v1"
    SOURCE: ClassVar[str] = _SOURCE
    ACTION: ClassVar[str] = "raise_alert"
    EXAMPLE: ClassVar[dict[str, Any]] = {
        "status": 201, "alert_id": _ID, "fingerprint": "many-failed-sign-ins", "severity": "critical",
        "occurrence_count": 1, "occurrences": 1, "result": _ALERT,
    }  # fmt: skip

    alert_id: str
    fingerprint: str
    severity: AlertSeverity
    occurrence_count: int
    occurrences: int
    rule: str | None = None


class AlertRepeated(AlertRaised):
    """An unresolved alert occurred again, `occurrences` times since it was last told of."""

    TYPE: ClassVar[str] = "reeve.alert.repeated.v1"
    EXAMPLE: ClassVar[dict[str, Any]] = {
        "status": 200, "alert_id": _ID, "fingerprint": "many-failed-sign-ins", "severity": "critical",
        "occurrence_count": 2, "occurrences": 1, "result": {**_ALERT, "occurrence_count": 2},
    }  # fmt: skip


class AlertResolved(OutcomeData):
    """Somebody dealt with an alert; what happens from now on is a new one."""

    TYPE: ClassVar[str] = "reeve.alert.resolved.v1"
    SOURCE: ClassVar[str] = _SOURCE
    ACTION: ClassVar[str] = "resolve_alert"
    EXAMPLE: ClassVar[dict[str, Any]] = {
        "status": 200, "alert_id": _ID, "fingerprint": "many-failed-sign-ins",
        "changes": {"is_resolved": {"old": False, "new": True}},
        "result": {**_ALERT, "is_resolved": True, "resolved_by_user_id": _ID, "resolution_notes": "password reset"},
    }  # fmt: skip

    alert_id: str
    fingerprint: str
    changes: dict[str, Change]
