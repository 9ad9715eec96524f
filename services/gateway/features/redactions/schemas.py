"""An erasure as it is asked for and as it is answered."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, StrictBool

from libs.common.events.redactions import Reason, SubjectId, SubjectType
from services.gateway.features.schemas import ListResponse


class RedactRequest(BaseModel):
    """Whose data is to go. The subject of an administrator is `user` with their id. `reason` stays in the log for ever,
    readable by all who may read its leaves: a case number or a law, and nobody's name."""

    model_config = ConfigDict(extra="forbid")

    subject_type: SubjectType
    subject_id: SubjectId
    reason: Reason
    dry_run: StrictBool = False


class RedactionResponse(BaseModel):
    """One erasure and how far it is: `progress` from 0 to 1, `entries` that lost members, files that were withdrawn.

    It is `held` as long as legal holds (`held_by`) are in its way, and goes on by itself afterwards.
    """

    id: str
    subject_type: str
    subject_id: str
    reason: str
    state: Literal["queued", "running", "held", "succeeded"]
    held_by: list[str]
    progress: float
    entries: int
    exports_withdrawn: int
    requested_by: str | None
    operation_id: str | None
    created_at: datetime
    finished_at: datetime | None


class RedactionPreviewResponse(BaseModel):
    """What an erasure would look at: entries that tell of the subject, counted up to 10,000, redacted already or not."""

    dry_run: Literal[True]
    subject_type: str
    subject_id: str
    entries: int
    entries_are_exact: bool
    held_by: list[str]


class RedactionsResponse(ListResponse):
    """One page of erasures, newest first."""

    redactions: list[RedactionResponse]
