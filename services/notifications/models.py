"""What a notification and an alert are, in values: drafts before they are stored, and their public bodies after. Pure."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

import orjson

from libs.common.errors import Conflict, NotFound
from libs.common.events.envelope import rfc3339
from libs.common.events.notification_fields import AlertSeverity, Priority

PRIORITIES: tuple[Priority, ...] = ("low", "normal", "high", "critical")
SEVERITIES: tuple[AlertSeverity, ...] = ("info", "warning", "error", "critical")
"""Both least first."""

Affected = str | int
"""A store or a system as the platform names it."""


class NotificationType(StrEnum):
    """The types that the first rules make; an administrator may name others."""

    IMPORT_FAILURE = "import_failure"
    IMPORT_ERRORS = "import_errors"
    ORDER_SYNC_FAILURE = "order_sync_failure"
    ORDER_EXCEPTION = "order_exception"
    CRITICAL_ERROR = "critical_error"
    STORE_ISSUE = "store_issue"
    SECURITY_ALERT = "security_alert"
    CRITICAL_EVENT = "critical_event"
    ACCESS_REQUEST = "access_request"
    APPROVAL = "approval"
    NEW_DEVICE = "new_device"
    SINK_FAILURE = "sink_failure"


class AlertType(StrEnum):
    """The types of alerts that are there from the start; others may be named."""

    SECURITY = "security"
    PERFORMANCE = "performance"
    CAPACITY = "capacity"
    INTEGRATION = "integration"
    DATABASE = "database"
    SYSTEM = "system"


def notification_not_found(notification_id: str) -> NotFound:
    """The 404 of a notification; the id was checked and may be repeated."""
    return NotFound(f"no notification {notification_id}", code="notification_not_found")


def alert_not_found(alert_id: str) -> NotFound:
    """The 404 of an alert."""
    return NotFound(f"no alert {alert_id}", code="alert_not_found")


def alert_resolved(alert_id: str) -> Conflict:
    """The 409 of a second resolve."""
    return Conflict(f"alert {alert_id} is resolved already", code="alert_resolved")


@dataclass(frozen=True, slots=True)
class NotificationDraft:
    """A notification that is to be made. Its texts are plain and within their bounds."""

    type: str
    priority: Priority
    title: str
    message: str = ""
    action_required: bool = False
    action_url: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    rule: str | None = None


@dataclass(frozen=True, slots=True)
class AlertDraft:
    """An occurrence that raises an alert or adds to one. Its texts are plain and within their bounds."""

    alert_type: str
    severity: AlertSeverity
    title: str
    description: str = ""
    affected_stores: Sequence[Affected] = ()
    affected_systems: Sequence[Affected] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    fingerprint: str | None = None
    rule: str | None = None

    @property
    def identity(self) -> str:
        """The fingerprint that was given, or else the one computed from what the alert is about."""
        return self.fingerprint or fingerprint_of(
            self.alert_type, self.title, self.affected_stores, self.affected_systems, self.labels
        )


Draft = NotificationDraft | AlertDraft


def fingerprint_of(
    alert_type: str,
    title: str,
    affected_stores: Sequence[Affected],
    affected_systems: Sequence[Affected],
    labels: Mapping[str, str],
) -> str:
    """64 hexadecimal digits: SHA-256 over the canonical JSON of type, title, stores, systems and labels.

    Order and repetition of stores, systems and labels make no difference, nor does `12` or `"12"`.
    """
    about = [alert_type, title, _canonical(affected_stores), _canonical(affected_systems), dict(labels)]
    return hashlib.sha256(orjson.dumps(about, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _canonical(affected: Sequence[Affected]) -> list[str]:
    return sorted({str(one) for one in affected})


@dataclass(frozen=True, slots=True)
class Notification:
    """A notification as one administrator sees it; `read_at` is that administrator's."""

    position: int
    id: str
    type: str
    priority: Priority
    title: str
    message: str
    action_required: bool
    action_url: str | None
    metadata: Mapping[str, Any]
    created_at: datetime
    is_read: bool = False
    read_at: datetime | None = None

    def body(self, *, admin_id: str | None = None) -> dict[str, Any]:
        """The public body for this administrator."""
        return {
            "id": self.id,
            "type": self.type,
            "priority": self.priority,
            "title": self.title,
            "message": self.message,
            "is_read": self.is_read,
            "read_at": _moment(self.read_at) if self.is_read else None,
            "read_by_user_id": admin_id if self.is_read else None,
            "action_required": self.action_required,
            "action_url": self.action_url,
            "notification_metadata": dict(self.metadata),
            "created_at": rfc3339(self.created_at),
        }


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert as it stands."""

    id: str
    alert_type: str
    severity: AlertSeverity
    title: str
    description: str
    affected_stores: Sequence[Affected]
    affected_systems: Sequence[Affected]
    occurrence_count: int
    first_occurred_at: datetime
    last_occurred_at: datetime
    is_resolved: bool
    resolved_at: datetime | None
    resolved_by_user_id: str | None
    resolution_notes: str | None
    is_acknowledged: bool
    acknowledged_by_user_id: str | None
    assigned_to_user_id: str | None
    fingerprint: str
    labels: Mapping[str, str]
    previous_alert_id: str | None

    def body(self) -> dict[str, Any]:
        """The public body."""
        return {
            "id": self.id,
            "alert_type": self.alert_type,
            "severity": self.severity,
            "title": self.title,
            "description": self.description,
            "affected_stores": list(self.affected_stores),
            "affected_systems": list(self.affected_systems),
            "occurrence_count": self.occurrence_count,
            "first_occurred_at": rfc3339(self.first_occurred_at),
            "last_occurred_at": rfc3339(self.last_occurred_at),
            "is_resolved": self.is_resolved,
            "resolved_at": _moment(self.resolved_at),
            "resolved_by_user_id": self.resolved_by_user_id,
            "resolution_notes": self.resolution_notes,
            "is_acknowledged": self.is_acknowledged,
            "acknowledged_by_user_id": self.acknowledged_by_user_id,
            "assigned_to_user_id": self.assigned_to_user_id,
            "fingerprint": self.fingerprint,
            "labels": dict(self.labels),
            "previous_alert_id": self.previous_alert_id,
        }

    def timeline(self) -> list[dict[str, Any]]:
        """What happened to it, oldest first, as far as the row tells."""
        told: list[dict[str, Any]] = [{"at": rfc3339(self.first_occurred_at), "what": "raised"}]
        if self.occurrence_count > 1:
            again = {
                "at": rfc3339(self.last_occurred_at),
                "what": "repeated",
                "occurrence_count": self.occurrence_count,
            }
            told.append(again)
        if self.resolved_at is not None:
            by = {"by_user_id": self.resolved_by_user_id, "notes": self.resolution_notes}
            told.append({"at": rfc3339(self.resolved_at), "what": "resolved", **by})
        return told


def _moment(moment: datetime | None) -> str | None:
    return None if moment is None else rfc3339(moment)
