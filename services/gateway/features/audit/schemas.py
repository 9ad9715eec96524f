"""What may be asked of the audit log."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictInt

from services.gateway.features.schemas import ListQuery, ListResponse

Text = Annotated[str, Field(min_length=1, max_length=255)]
MOST_VERIFIED = 4_096
"""Leaves that one call derives again."""
AuditProblem = Literal[
    "leaf_hash", "leaf_missing", "entry_missing", "entry_changed", "commitment", "node", "root", "checkpoint"
]


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


class EntryRedaction(BaseModel):
    """That members of an entry were erased: which, by which redaction and operation, when and why."""

    id: str
    operation_id: str | None
    at: datetime
    reason: str
    members: list[Literal["admin_username", "changes", "details", "ip_address", "user_agent"]]


class AuditEntryResponse(BaseModel):
    """One entry of the log. `created_at` is when it happened, `recorded_at` when it was stored.
    Of what a redaction erased, `details` are empty, other members null, and `redactions` says so."""

    id: str
    sequence: int
    event_id: str
    event_type: str
    action: str
    target_type: str | None
    target_id: str | None
    admin_user_id: str | None
    admin_username: str | None
    actor_type: str
    outcome: Outcome
    severity: Severity
    details: dict[str, Any]
    changes: dict[str, Any] | None
    ip_address: str | None
    user_agent: str | None
    request_id: str | None
    operation_id: str | None
    trace_id: str | None
    source: str
    created_at: datetime
    recorded_at: datetime
    redactions: list[EntryRedaction] | None


class UndoResponse(BaseModel):
    """A request that undoes an entry: send it as it is, with these headers. It is checked and recorded like any other."""

    method: str
    path: str
    body: dict[str, Any] | None
    headers: dict[str, str]


class AuditEntryDetailsResponse(AuditEntryResponse):
    """One entry; `undo` where it can be undone by whoever asks, `undone_by` the entry that tells that it was.

    `proof_state` is `accepted` once it is stored and a receipt can be had, `integrated` once a signed checkpoint reaches it, and
    `witnessed` once one does that the quorum of witnesses cosigned.
    """

    undo: UndoResponse | None
    undone_by: str | None
    proof_state: Literal["accepted", "integrated", "witnessed"]


class AuditEntriesResponse(ListResponse):
    """One page of the log."""

    logs: list[AuditEntryResponse]


class TargetHistoryResponse(ListResponse):
    """One page of what was recorded of one thing."""

    history: list[AuditEntryResponse]


class AuditStatsResponse(BaseModel):
    """Counts for a range of time."""

    date_from: datetime
    date_to: datetime
    total: int
    by_action: dict[str, int]
    by_admin_user_id: dict[str, int]
    by_target_type: dict[str, int]
    by_outcome: dict[str, int]
    by_day: dict[str, int]


class ActionsResponse(ListResponse):
    """The distinct actions."""

    actions: list[str]


class TargetTypesResponse(ListResponse):
    """The distinct target types."""

    target_types: list[str]


class AuditProofResponse(BaseModel):
    """What proves that one entry is in the log. `entry` are the canonical bytes, `hashes` lead from the leaf to the root.

    `witnessed_size` is that of the newest checkpoint that the quorum of witnesses cosigned, null where there is none.
    """

    sequence: int
    entry: str
    leaf_hash: str
    tree_size: int
    hashes: list[str]
    checkpoint: str
    witnessed_size: int | None


class GapsQuery(ListQuery):
    """Open gaps, closed ones, or both."""

    state: Literal["open", "closed"] | None = None


class AuditGapResponse(BaseModel):
    """Numbers of a service, `first` to `last`, that did not come while later ones did.

    `since` is when the first later number came; a gap ends when they come (`filled`), or are waited for no longer (`given_up`).
    """

    id: str
    producer: str
    first: int
    last: int
    since: datetime
    detected_at: datetime
    state: Literal["open", "closed"]
    closed_at: datetime | None
    how: Literal["filled", "given_up"] | None


class AuditGapsResponse(ListResponse):
    """One page of gaps, newest first."""

    gaps: list[AuditGapResponse]


class VerifyAuditRequest(BaseModel):
    """The part of the log to derive again, from `first` on. All of it: begin at 0 and go on from `next` until it is null."""

    model_config = ConfigDict(extra="forbid")

    first: Annotated[StrictInt, Field(ge=0, lt=2**62)] = 0
    count: Annotated[StrictInt, Field(ge=1, le=MOST_VERIFIED)] = MOST_VERIFIED


class AuditFinding(BaseModel):
    """What does not hold, and the first sequence it touches."""

    sequence: int
    problem: AuditProblem


class VerifiedAuditResponse(BaseModel):
    """What was derived again; with the last part, the head of the tree and its checkpoint too. Of the log it is said how far it is
    signed, and how far cosigned by the quorum of witnesses."""

    first: int
    checked: int
    next: int | None
    tree_size: int
    root: str
    signed_size: int | None
    witnessed_size: int | None
    holds: bool
    first_bad: AuditFinding | None
