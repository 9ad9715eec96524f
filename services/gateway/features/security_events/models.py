"""A security event as it is kept, and what an overview of them says. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from libs.common.errors import Conflict, NotFound
from libs.common.events.security import SecuritySeverity

SEVERITIES: tuple[SecuritySeverity, ...] = ("low", "medium", "high", "critical")
ENVELOPE_SEVERITIES = {"low": "info", "medium": "warning", "high": "error", "critical": "critical"}
"""What the bus and the audit log call a severity."""


@dataclass(frozen=True, slots=True)
class NewSecurityEvent:
    """What is to be raised. There is one event for each `fingerprint`, ever."""

    fingerprint: str
    event_type: str
    severity: SecuritySeverity
    rule: str
    subject: str
    description: str
    created_at: datetime
    last_at: datetime
    count: int
    user_id: str | None
    ip_address: str | None
    user_agent: str | None
    details: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class SecurityEvent:
    """A security event as it stands."""

    id: str
    event_type: str
    severity: SecuritySeverity
    rule: str
    subject: str
    count: int
    user_id: str | None
    ip_address: str | None
    user_agent: str | None
    details: Mapping[str, object]
    resolved: bool
    resolved_by: str | None
    resolved_at: datetime | None
    notes: str | None
    created_at: datetime
    last_at: datetime
    told_by: str | None


@dataclass(frozen=True, slots=True)
class Overview:
    """Counts for a dashboard: what is open, and what came in the hours before a moment."""

    open_by_severity: Mapping[str, int]
    open_by_type: Mapping[str, int]
    raised_by_type: Mapping[str, int]
    raised_by_hour: Sequence[tuple[datetime, int]]
    top_addresses: Sequence[tuple[str, int]]
    top_users: Sequence[tuple[str, int]]
    untold: int


def security_event_not_found(event_id: str) -> NotFound:
    """The 404 of a security event."""
    return NotFound(f"no security event {event_id}", code="security_event_not_found")


def already_resolved(event_id: str) -> Conflict:
    """The 409 of a second resolve."""
    return Conflict(f"security event {event_id} is resolved already", code="security_event_resolved")
