"""What may be asked about alerts."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict

from libs.common.events.notification_fields import (
    Affected,
    AlertSeverity,
    AlertType,
    Fingerprint,
    Labels,
    Notes,
    Text,
    Title,
)
from services.gateway.features.schemas import ListQuery, ListResponse


class ListAlertsQuery(ListQuery):
    """Filters of the list."""

    alert_type: AlertType | None = None
    severity: AlertSeverity | None = None
    is_resolved: bool | None = None
    fingerprint: Fingerprint | None = None


class RaiseAlertRequest(BaseModel):
    """An alert. Without a fingerprint it is computed from type, title, what is affected, and labels."""

    model_config = ConfigDict(extra="forbid", strict=True)

    alert_type: AlertType
    severity: AlertSeverity = "warning"
    title: Title
    description: Text = ""
    affected_stores: Affected = []
    affected_systems: Affected = []
    fingerprint: Fingerprint | None = None
    labels: Labels = {}


class ResolveAlertRequest(BaseModel):
    """What was done about it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    resolution_notes: Notes | None = None


class AlertResponse(BaseModel):
    """An alert as it stands."""

    id: str
    alert_type: str
    severity: AlertSeverity
    title: str
    description: str
    affected_stores: list[str | int]
    affected_systems: list[str | int]
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
    labels: dict[str, str]
    previous_alert_id: str | None


class HappeningResponse(BaseModel):
    """Something that happened to an alert; what beside `at` and `what` depends on `what`."""

    model_config = ConfigDict(extra="allow")

    at: datetime
    what: str


class AlertDetailResponse(AlertResponse):
    """An alert with what happened to it, oldest first."""

    timeline: list[HappeningResponse]


class AlertsResponse(ListResponse):
    """One page of alerts."""

    alerts: list[AlertResponse]


class AlertStatsResponse(BaseModel):
    """Counts of alerts; all but `total` and `resolved_today` count the active ones."""

    total: int
    total_is_exact: bool
    active: int
    critical: int
    resolved_today: int
    by_type: dict[str, int]
    by_severity: dict[str, int]
