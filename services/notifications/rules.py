"""The first rules, as data: which events make a notification or an alert, and what it says. Pure.

An event makes at most one notification, by the rule of its type or else by the rule for critical events;
a critical notification always comes with an alert. Events about notifications and alerts make none.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from libs.common.events import access, approvals, platform, security, sinks, users
from libs.common.events.envelope import Event, rfc3339
from libs.common.events.notification_fields import Priority, is_relative_path, plain_line, plain_text
from services.notifications.models import (
    PRIORITIES,
    Affected,
    AlertDraft,
    AlertType,
    Draft,
    NotificationDraft,
    NotificationType,
)

MOST_METADATA_TEXT = 1000
MOST_PLACE = 100
MOST_LINK = 500
SILENT = ("reeve.notification.", "reeve.alert.")
"""What this service itself tells of: a rule for these would feed itself."""
_COMMON_MEMBERS = ("store_id", "store_name", "job_id", "error_message")
_LARGEST = 2**63


@dataclass(frozen=True, slots=True)
class Step:
    """Where `member` of the data (or `severitytext`) says `value`, the priority is at least this."""

    member: str
    value: str
    priority: Priority


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. `title` and `message` may name `{place}`, `{type}`, `{error}` and the rule's `members`."""

    name: str
    type: NotificationType
    priority: Priority
    title: str
    message: str = "{error}"
    alert_type: AlertType = AlertType.SYSTEM
    action_required: bool = False
    members: tuple[str, ...] = ()
    steps: tuple[Step, ...] = ()
    at_least: tuple[str, int] | None = None
    """The rule holds only where this number of the data is not smaller."""
    only: tuple[str, tuple[str, ...]] | None = None
    """The rule holds only where this member of the data says one of these."""


_CHANGE = ("approval_id", "kind", "target", "asked_by")


def _decided(name: str, title: str, message: str, *also: str) -> Rule:
    return Rule(name, NotificationType.APPROVAL, "normal", title, message, members=(*_CHANGE, *also))


_ERROR = Step("severitytext", "error", "high")

BY_TYPE: Mapping[str, Rule] = {
    platform.ImportFailed.TYPE: Rule(
        "import_failed", NotificationType.IMPORT_FAILURE, "high", "Import failed: {place}",
        alert_type=AlertType.INTEGRATION, action_required=True,
    ),
    platform.ImportCompleted.TYPE: Rule(
        "import_errors", NotificationType.IMPORT_ERRORS, "normal", "Import completed with {errors_count} errors: {place}",
        "{errors_count} lines were left out. {error}", alert_type=AlertType.INTEGRATION,
        members=("errors_count", "imported_count"), at_least=("errors_count", 5),
    ),
    platform.OrderSyncFailed.TYPE: Rule(
        "order_sync_failed", NotificationType.ORDER_SYNC_FAILURE, "high", "Order sync failed: {place}",
        alert_type=AlertType.INTEGRATION, action_required=True,
    ),
    platform.OrderException.TYPE: Rule(
        "order_exception", NotificationType.ORDER_EXCEPTION, "normal", "Order needs attention: {place}",
        alert_type=AlertType.INTEGRATION, action_required=True,
        members=("order_id", "exception_type", "exception_count"), steps=(_ERROR,),
    ),
    platform.CriticalError.TYPE: Rule(
        "critical_error", NotificationType.CRITICAL_ERROR, "critical", "Critical error: {place}",
        action_required=True, members=("error_type", "system"),
    ),
    platform.StoreIssue.TYPE: Rule(
        "store_issue", NotificationType.STORE_ISSUE, "normal", "Store issue: {place}",
        members=("issue_type",), steps=(_ERROR,),
    ),
    platform.SecurityAlert.TYPE: Rule(
        "security_alert", NotificationType.SECURITY_ALERT, "high", "Security alert: {place}",
        alert_type=AlertType.SECURITY, action_required=True,
        members=("alert_type", "severity", "ip_address"), steps=(Step("severity", "critical", "critical"),),
    ),
    access.AccessRequested.TYPE: Rule(
        "access_requested", NotificationType.ACCESS_REQUEST, "high", "Access requested: {permission}", "{reason}",
        action_required=True, members=("permission", "reason", "user_id", "request_id"),
    ),
    access.AccessGranted.TYPE: Rule(
        "access_granted", NotificationType.ACCESS_REQUEST, "normal", "Access granted: {permission}", "Until {until}.",
        members=("permission", "until", "user_id", "request_id"),
    ),
    access.AccessRejected.TYPE: Rule(
        "access_rejected", NotificationType.ACCESS_REQUEST, "normal", "Access declined: {permission}", "{reason}",
        members=("permission", "reason", "user_id", "request_id"),
    ),
    access.AccessEnded.TYPE: Rule(
        "access_ended", NotificationType.ACCESS_REQUEST, "low", "Access ended: {permission}", "Why: {reason}.",
        members=("permission", "reason", "until", "user_id", "request_id"),
    ),
    approvals.ApprovalRequested.TYPE: Rule(
        "approval_requested", NotificationType.APPROVAL, "high", "Approval needed: {kind}",
        "{target}, until {expires_at}. Somebody else than who asked decides it.",
        action_required=True, members=(*_CHANGE, "expires_at"),
    ),
    approvals.ApprovalGranted.TYPE: _decided("approval_granted", "Approved: {kind}", "{target}"),
    approvals.ApprovalRejected.TYPE: _decided("approval_rejected", "Declined: {kind}", "{target}: {reason}", "reason"),
    approvals.ApprovalExpired.TYPE: _decided("approval_expired", "Nobody decided: {kind}", "{target}"),
    approvals.ApprovalFailed.TYPE: _decided("approval_failed", "Approved too late: {kind}", "{target}: {failure}", "failure"),
    sinks.SinkFailed.TYPE: Rule(
        "sink_failed", NotificationType.SINK_FAILURE, "high", "Audit entries do not reach {name}",
        action_required=True, members=("sink_id", "name", "state", "cursor"),
    ),
    users.DeviceFirstSeen.TYPE: Rule(
        "new_device", NotificationType.NEW_DEVICE, "high", "Sign-in from a new device",
        "{device} in the network {address_prefix}. Whoever does not recognize it ends the session and changes the password.",
        alert_type=AlertType.SECURITY, members=("user_id", "session_id", "address_prefix", "device"),
    ),
    security.SecurityEventRaised.TYPE: Rule(
        "security_event", NotificationType.SECURITY_ALERT, "high", "Security event {event_type}: {subject}",
        "{description}", alert_type=AlertType.SECURITY, action_required=True,
        members=("event_type", "security_severity", "rule", "subject", "user_id", "ip_address", "security_event_id",
                 "description"),
        steps=(Step("security_severity", "critical", "critical"),),
        only=("security_severity", ("high", "critical")),
    ),
}  # fmt: skip
"""By wire type; most events find nothing here."""

ANY_CRITICAL = Rule(
    "critical_event", NotificationType.CRITICAL_EVENT, "critical", "Critical event: {type}", action_required=True
)
"""For every other event whose `severitytext` is critical."""


def match(event: Event) -> list[Draft]:
    """What the event makes: nothing for most, else a notification, and an alert where it is critical."""
    rule = BY_TYPE.get(event.type)
    severity = event.severitytext
    if rule is None and severity is None:
        return []
    is_critical = severity is not None and severity.lower() == "critical"
    data: Mapping[str, Any] = event.data if isinstance(event.data, dict) else {}
    if rule is None or not _reaches(rule, data):
        if not is_critical or event.type.startswith(SILENT):
            return []
        rule = ANY_CRITICAL
    return _drafts(rule, event, data, "critical" if is_critical else _priority(rule, event, data))


def _reaches(rule: Rule, data: Mapping[str, Any]) -> bool:
    if rule.only is not None and data.get(rule.only[0]) not in rule.only[1]:
        return False
    if rule.at_least is None:
        return True
    member, least = rule.at_least
    number = data.get(member)
    return isinstance(number, int) and number >= least


def _priority(rule: Rule, event: Event, data: Mapping[str, Any]) -> Priority:
    found = [rule.priority]
    for step in rule.steps:
        said = event.severity if step.member == "severitytext" else data.get(step.member)
        if said == step.value:
            found.append(step.priority)
    return max(found, key=PRIORITIES.index)


def _drafts(rule: Rule, event: Event, data: Mapping[str, Any], priority: Priority) -> list[Draft]:
    members = _members(rule, data)
    words = _words(rule, event, members, data)
    title = plain_line(rule.title.format_map(words))
    message = plain_text(rule.message.format_map(words))
    link = data.get("action_url")
    notification = NotificationDraft(
        type=rule.type,
        priority=priority,
        title=title,
        message=message,
        action_required=rule.action_required,
        action_url=link if isinstance(link, str) and len(link) <= MOST_LINK and is_relative_path(link) else None,
        metadata={**_provenance(event), **members},
        rule=rule.name,
    )
    if priority != "critical":
        return [notification]
    alert = AlertDraft(
        alert_type=rule.alert_type,
        severity="critical",
        title=title,
        description=message,
        affected_stores=_affected(data.get("store_id")),
        affected_systems=_affected(data.get("system")) or (event.source,),
        labels={"event_type": event.type},
        rule=rule.name,
    )
    return [notification, alert]


def _members(rule: Rule, data: Mapping[str, Any]) -> dict[str, Any]:
    """The members that a notification repeats: plain texts, numbers and claims, nothing nested."""
    found: dict[str, Any] = {}
    for name in (*_COMMON_MEMBERS, *rule.members):
        value = data.get(name)
        if isinstance(value, str):
            found[name] = plain_text(value, MOST_METADATA_TEXT)
        elif isinstance(value, float) or (isinstance(value, int) and -_LARGEST <= value < _LARGEST):
            found[name] = value
    return found


def _words(rule: Rule, event: Event, members: Mapping[str, Any], data: Mapping[str, Any]) -> dict[str, str]:
    store = members.get("store_name") or (f"store {members['store_id']}" if "store_id" in members else None)
    place = store or members.get("system") or event.source
    error = data.get("error_message") or data.get("message")
    return {
        **{name: str(members.get(name, "?")) for name in rule.members},
        "place": plain_line(str(place), MOST_PLACE),
        "type": event.type,
        "error": error if isinstance(error, str) else "",
    }


def _provenance(event: Event) -> dict[str, Any]:
    """Which event it was; its identifiers come from outside and are made plain too."""
    found = {
        "event_id": plain_line(event.id, 255),
        "event_type": event.type,
        "event_source": event.source,
        "occurred_at": rfc3339(event.time),
    }
    if event.subject is not None:
        found["event_subject"] = plain_line(event.subject, 512)
    return found


def _affected(value: object) -> tuple[Affected, ...]:
    if isinstance(value, str) and (line := plain_line(value)):
        return (line,)
    if isinstance(value, int) and not isinstance(value, bool) and -_LARGEST <= value < _LARGEST:
        return (value,)
    return ()
