"""Messages about security events, which the gateway finds in what it records, and about the rules it finds them by."""

from typing import Any, ClassVar, Literal

from libs.common.events.catalog import Change, MessageData

_GATEWAY = "/reeve/gateway"
_ID = "0199a0c0-0000-7000-8000-000000000001"

SecuritySeverity = Literal["low", "medium", "high", "critical"]


class SecurityEventRaised(MessageData):
    """Something that looks like an attack, or is worth a look. `subject` is whom the rule counted it for."""

    TYPE: ClassVar[str] = "reeve.security_event.raised.v1"
    SOURCE: ClassVar[str] = _GATEWAY
    ACTION: ClassVar[str] = "raise_security_event"
    EXAMPLE: ClassVar[dict[str, Any]] = {
        "security_event_id": _ID, "event_type": "token_reuse", "security_severity": "critical", "rule": "token_reuse",
        "subject": _ID, "user_id": _ID, "ip_address": "192.0.2.1", "description": "A refresh token was used a second time.",
    }  # fmt: skip

    security_event_id: str
    event_type: str
    security_severity: SecuritySeverity
    rule: str
    subject: str
    user_id: str | None = None
    ip_address: str | None = None
    description: str = ""


class SecurityEventResolved(MessageData):
    """An administrator has looked into a security event, and says what came of it."""

    TYPE: ClassVar[str] = "reeve.security_event.resolved.v1"
    SOURCE: ClassVar[str] = _GATEWAY
    ACTION: ClassVar[str] = "resolve_security_event"
    EXAMPLE: ClassVar[dict[str, Any]] = {
        "security_event_id": _ID, "event_type": "failed_login", "notes": "A forgotten password.",
        "changes": {"resolved": {"old": False, "new": True}},
    }  # fmt: skip

    security_event_id: str
    event_type: str
    notes: str
    changes: dict[str, Change]


class SecurityRuleChanged(MessageData):
    """From now on security events are found by another rule."""

    TYPE: ClassVar[str] = "reeve.security_rule.changed.v1"
    SOURCE: ClassVar[str] = _GATEWAY
    ACTION: ClassVar[str] = "change_security_rule"
    EXAMPLE: ClassVar[dict[str, Any]] = {
        "name": "token_reuse", "version": 2, "changes": {"threshold": {"old": 1, "new": 2}},
    }  # fmt: skip

    name: str
    version: int
    changes: dict[str, Change]


class SecurityRuleDeleted(MessageData):
    """A rule that was not built in is gone."""

    TYPE: ClassVar[str] = "reeve.security_rule.deleted.v1"
    SOURCE: ClassVar[str] = _GATEWAY
    ACTION: ClassVar[str] = "delete_security_rule"
    EXAMPLE: ClassVar[dict[str, Any]] = {"name": "night_reads", "changes": {"threshold": {"old": 5}}}

    name: str
    changes: dict[str, Change]
