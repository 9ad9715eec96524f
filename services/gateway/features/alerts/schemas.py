"""What may be asked about alerts."""

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
from services.gateway.features.schemas import ListQuery


class ListAlertsQuery(ListQuery):
    """Filters of the list."""

    alert_type: AlertType | None = None
    severity: AlertSeverity | None = None
    is_resolved: bool | None = None
    fingerprint: Fingerprint | None = None


class RaiseAlertRequest(BaseModel):
    """An alert. Without a fingerprint it is computed from type, title, what is affected, and labels."""

    model_config = ConfigDict(extra="forbid")

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

    model_config = ConfigDict(extra="forbid")

    resolution_notes: Notes | None = None
