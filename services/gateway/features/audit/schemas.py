"""What may be asked of the audit log."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from services.gateway.features.schemas import ListQuery

Text = Annotated[str, Field(min_length=1, max_length=255)]


class Outcome(StrEnum):
    """How what was tried ended."""

    SUCCESS = "success"
    DENIED = "denied"
    FAILURE = "failure"


class Severity(StrEnum):
    """How much it matters."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"


class SearchAuditQuery(ListQuery):
    """Filters; a repeated one means any of its values."""

    action: list[Text] = []
    target_type: list[Text] = []
    target_id: list[Text] = []
    admin_user_id: list[Text] = []
    outcome: list[Outcome] = []
    severity: list[Severity] = []
    ip_address: Annotated[list[Text], Field(description="An address or a CIDR network.")] = []
    source: list[Text] = []
    request_id: list[Text] = []
    operation_id: list[Text] = []
    date_from: Annotated[datetime | None, Field(description="Happened at this time or later (RFC 3339).")] = None
    date_to: Annotated[datetime | None, Field(description="Happened before this time (RFC 3339).")] = None
    q: Annotated[str | None, Field(max_length=200, description="Words to find, as a web search takes them.")] = None
    sort: Literal["created_at", "-created_at"] = "-created_at"


class AuditRangeQuery(BaseModel):
    """A range of time; the last 30 days when nothing is said."""

    model_config = ConfigDict(extra="forbid")

    date_from: datetime | None = None
    date_to: datetime | None = None
