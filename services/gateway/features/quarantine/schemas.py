"""What is asked of the quarantine and what it answers."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from services.gateway.features.schemas import ListQuery, ListResponse

Text = Annotated[str, Field(min_length=1, max_length=255)]
Why = Literal["unknown_event_type", "invalid_event"]
State = Literal["waiting", "replayed"]


class QuarantineQuery(ListQuery):
    """Which of them: by the event's type and source, why it did not fit, and whether it was replayed."""

    type: Text | None = None
    reason: Why | None = None
    source: Text | None = None
    state: State | None = None


class QuarantinedResponse(BaseModel):
    """One event that did not fit: why (`reason`, and `message` in words), who sent it, and whether a replay took it in.

    `last_error` is why the last replay failed; `entry_sequence` is where the entry is that a replay made.
    """

    id: str
    event_type: str | None
    source: str | None
    sender: str | None
    reason: Why
    message: str
    state: State
    first_seen_at: datetime
    last_seen_at: datetime
    sightings: int
    replays: int
    last_error: str | None
    replayed_at: datetime | None
    entry_sequence: int | None


class QuarantinedEvent(BaseModel):
    """What the event says."""

    id: str
    time: datetime
    subject: str | None
    data: Any


class QuarantinedWholeResponse(QuarantinedResponse):
    """The same with its bytes in base64, and the event that they are where they can be read."""

    content_type: str | None
    body: str
    event: QuarantinedEvent | None


class QuarantineResponse(ListResponse):
    """One page of the quarantine, newest first."""

    quarantine: list[QuarantinedResponse]
