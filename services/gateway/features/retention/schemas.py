"""What is asked for and answered about how long audit entries are kept."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool

from libs.common.events.retention import MOST_TYPES, Days, EventType, HoldFilter, HoldName, Reason


class PutRetentionRequest(BaseModel):
    """Days by event type. Without `default_days`, or with null, it is `REEVE_AUDIT_RETENTION_DAYS`."""

    model_config = ConfigDict(extra="forbid")

    default_days: Days | None = None
    types: Annotated[dict[EventType, Days], Field(max_length=MOST_TYPES)] = Field(default_factory=dict)


class PlaceHoldRequest(BaseModel):
    """Which entries are kept whatever their age, and why. A filter without members holds all."""

    model_config = ConfigDict(extra="forbid")

    name: HoldName
    reason: Reason
    filter: HoldFilter


class LiftHoldRequest(BaseModel):
    """Why entries need not be held any more."""

    model_config = ConfigDict(extra="forbid")

    reason: Reason


class RunRetentionRequest(BaseModel):
    """`dry_run` counts what would go, and changes nothing."""

    model_config = ConfigDict(extra="forbid")

    dry_run: StrictBool


class RetentionRulesResponse(BaseModel):
    """The rules. `default_days` are those in effect, `configured_days` the environment's."""

    default_days: int
    configured_days: int
    types: dict[str, int]
    version: int
    updated_at: datetime | None
    updated_by: str | None


class LegalHoldResponse(BaseModel):
    """One hold; `lifted_at` null while it is in force."""

    id: str
    name: str
    reason: str
    filter: HoldFilter
    placed_at: datetime
    placed_by: str
    lifted_at: datetime | None
    lifted_by: str | None
    lift_reason: str | None


class RetentionRunResponse(BaseModel):
    """One run. `asked_by` null where the schedule asked; `archived` and `pruned` count entries."""

    id: str
    state: Literal["queued", "running", "succeeded", "failed"]
    asked_by: str | None
    archived: int
    pruned: int
    error: str | None
    created_at: datetime
    finished_at: datetime | None


class RetentionResponse(RetentionRulesResponse):
    """The rules, the holds in force, the place up to which the log is archived, and the last ten runs."""

    legal_holds: list[LegalHoldResponse]
    archived_until: int
    runs: list[RetentionRunResponse]


class DueTypeResponse(BaseModel):
    """Entries of one type that are past their days: how many would go, and how many are held."""

    event_type: str
    due: int
    held: int


class RetentionDryRunResponse(BaseModel):
    """What a run would do now."""

    dry_run: Literal[True]
    to_archive: int
    to_prune: int
    held: int
    types: list[DueTypeResponse]
