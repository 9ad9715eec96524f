"""Messages about how long audit entries are kept: rules, legal holds, runs, and what a run removes."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

from libs.common.events.catalog import Change, CommandData, MessageData, OutcomeData

_GATEWAY = "/reeve/gateway"
_AUDIT = "/reeve/audit"
_ID = "0199a0c0-0000-7000-8000-000000000001"
_TYPES = {"reeve.request.recorded.v1": 90}
_DATE = re.compile(r"\d{4}-\d\d-\d\dT")
_HOLD = {"name": "Case 12", "reason": "Letter of the court of 3 May", "target_type": "user"}

MOST_TYPES = 200
"""Event types that may have days of their own."""


def _dated(value: object) -> object:
    """A time that begins with its date: what counts the seconds of some epoch is none."""
    if isinstance(value, datetime) or (isinstance(value, str) and _DATE.match(value)):
        return value
    raise ValueError("must be a time of RFC 3339, such as 2026-01-31T12:00:00Z")


def _in_utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError("must be a time between the years 1 and 9999") from None


Moment = Annotated[AwareDatetime, BeforeValidator(_dated), AfterValidator(_in_utc)]
Days = Annotated[int, Field(strict=True, ge=1, le=36_500)]
EventType = Annotated[str, Field(min_length=1, max_length=255)]
HoldName = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^\S(.*\S)?$")]
Reason = Annotated[str, Field(min_length=3, max_length=1_000, pattern=r"\S")]
Place = Annotated[int, Field(ge=0, le=2**53 - 1)]


class HoldFilter(BaseModel):
    """Which entries a hold keeps: all that fit every member that is given; without any, all there are."""

    model_config = ConfigDict(extra="forbid")

    target_type: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    target_id: Annotated[str, Field(min_length=1, max_length=255)] | None = None
    actor_id: Annotated[str, Field(min_length=1, max_length=255)] | None = None
    event_type: EventType | None = None
    date_from: Moment | None = None
    date_to: Moment | None = None


class PrunedRange(BaseModel):
    """Places of the log, both ends included. `type` names the event type whose entries go; null for all."""

    type: str | None = None
    first: Place
    last: Place


class SetRetention(CommandData):
    """Keep entries so many days, by event type. `default_days` null is what the environment says."""

    TYPE: ClassVar[str] = "reeve.command.audit.set_retention.v1"
    SOURCE: ClassVar[str] = _GATEWAY
    ACTION: ClassVar[str] = "change_retention"
    EXAMPLE: ClassVar[dict[str, Any]] = {"action": "change_retention", "default_days": 400, "types": _TYPES}

    action: Literal["change_retention"] = "change_retention"
    default_days: Days | None = None
    types: Annotated[dict[EventType, Days], Field(max_length=MOST_TYPES)]
    expected_version: int | None = None


class PlaceHold(CommandData):
    """Keep entries whatever their days say, until the hold is lifted."""

    TYPE: ClassVar[str] = "reeve.command.audit.place_hold.v1"
    SOURCE: ClassVar[str] = _GATEWAY
    ACTION: ClassVar[str] = "place_legal_hold"
    EXAMPLE: ClassVar[dict[str, Any]] = {
        "action": "place_legal_hold", "name": "Case 12", "reason": "Letter of the court of 3 May",
        "filter": {"target_type": "user"},
    }  # fmt: skip

    action: Literal["place_legal_hold"] = "place_legal_hold"
    name: HoldName
    reason: Reason
    filter: HoldFilter


class LiftHold(CommandData):
    """Hold entries no longer."""

    TYPE: ClassVar[str] = "reeve.command.audit.lift_hold.v1"
    SOURCE: ClassVar[str] = _GATEWAY
    ACTION: ClassVar[str] = "lift_legal_hold"
    EXAMPLE: ClassVar[dict[str, Any]] = {"action": "lift_legal_hold", "hold_id": _ID, "reason": "Case closed"}

    action: Literal["lift_legal_hold"] = "lift_legal_hold"
    hold_id: str = Field(max_length=36)
    reason: Reason


class RunRetention(CommandData):
    """Archive and prune now, or only count what would go."""

    TYPE: ClassVar[str] = "reeve.command.audit.run_retention.v1"
    SOURCE: ClassVar[str] = _GATEWAY
    ACTION: ClassVar[str] = "run_retention"
    EXAMPLE: ClassVar[dict[str, Any]] = {"action": "run_retention", "dry_run": True}

    action: Literal["run_retention"] = "run_retention"
    dry_run: bool


class RetentionChanged(OutcomeData):
    """The rules are others."""

    TYPE: ClassVar[str] = "reeve.audit.retention.changed.v1"
    SOURCE: ClassVar[str] = _AUDIT
    ACTION: ClassVar[str] = "change_retention"
    EXAMPLE: ClassVar[dict[str, Any]] = {
        "status": 200, "version": 2, "changes": {"default_days": {"old": 365, "new": 400}},
        "result": {"default_days": 400, "types": _TYPES, "version": 2},
    }  # fmt: skip

    version: int
    changes: dict[str, Change]


class HoldPlaced(OutcomeData):
    """Entries are held."""

    TYPE: ClassVar[str] = "reeve.audit.retention.hold_placed.v1"
    SOURCE: ClassVar[str] = _AUDIT
    ACTION: ClassVar[str] = "place_legal_hold"
    EXAMPLE: ClassVar[dict[str, Any]] = {
        "status": 201, "hold_id": _ID, "name": "Case 12", "reason": "Letter of the court of 3 May",
        "filter": {"target_type": "user"}, "result": {"id": _ID, **_HOLD},
    }  # fmt: skip

    hold_id: str
    name: str
    reason: str
    filter: dict[str, Any]


class HoldLifted(OutcomeData):
    """Entries are held no longer."""

    TYPE: ClassVar[str] = "reeve.audit.retention.hold_lifted.v1"
    SOURCE: ClassVar[str] = _AUDIT
    ACTION: ClassVar[str] = "lift_legal_hold"
    EXAMPLE: ClassVar[dict[str, Any]] = {
        "status": 200, "hold_id": _ID, "name": "Case 12", "reason": "Case closed", "result": {"id": _ID, **_HOLD},
    }  # fmt: skip

    hold_id: str
    name: str
    reason: str


class RetentionRunAsked(OutcomeData):
    """A run waits for its turn, or a dry run has counted."""

    TYPE: ClassVar[str] = "reeve.audit.retention.run_asked.v1"
    SOURCE: ClassVar[str] = _AUDIT
    ACTION: ClassVar[str] = "run_retention"
    EXAMPLE: ClassVar[dict[str, Any]] = {
        "status": 201, "run_id": _ID, "dry_run": False, "result": {"id": _ID, "state": "queued"},
    }  # fmt: skip

    run_id: str | None = None
    dry_run: bool


class RetentionRunEnded(MessageData):
    """A run has ended: how many entries it put into archives, and how many it removed."""

    TYPE: ClassVar[str] = "reeve.audit.retention.run_ended.v1"
    SOURCE: ClassVar[str] = _AUDIT
    ACTION: ClassVar[str] = "finish_retention"
    EXAMPLE: ClassVar[dict[str, Any]] = {
        "run_id": _ID, "state": "succeeded", "archived": 40_000, "pruned": 39_998, "outcome": "success",
    }  # fmt: skip

    run_id: str
    state: Literal["succeeded", "failed"]
    archived: int
    pruned: int
    error: str | None = None
    outcome: Literal["success", "failure"]


class EntriesPruned(MessageData):
    """What of the log's entries goes: their rows and what opens their commitments. Their leaves stay.

    Said before anything goes. `archive` is the file that has them, as `first` to before `ends`, with its SHA-256 in hex.
    """

    TYPE: ClassVar[str] = "reeve.audit.pruned.v1"
    SOURCE: ClassVar[str] = _AUDIT
    ACTION: ClassVar[str] = "prune_audit_log"
    EXAMPLE: ClassVar[dict[str, Any]] = {
        "prune_id": _ID, "archive": {"first": 0, "ends": 40_000, "file": "reeve-audit-0-40000.jsonl.gz", "sha256": "00" * 32},
        "ranges": [{"first": 0, "last": 39_999}], "count": 40_000,
    }  # fmt: skip

    prune_id: str
    archive: dict[str, Any]
    ranges: list[PrunedRange]
    count: Place
