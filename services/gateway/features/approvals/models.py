"""A change that waits for a second pair of eyes, the states it goes through, and who may decide it: pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import StringConstraints

from libs.common.errors import Conflict, NotFound, ReeveError
from services.gateway.access.grants import Refusal, refused

DEFAULT_SECONDS = 86400
"""How long a change waits, where the configuration says nothing else."""
MOST_PENDING = 20
"""Changes of one administrator that may wait at a time."""

Reason = Annotated[str, StringConstraints(min_length=1, max_length=500, pattern=r"^[^\x00-\x08\x0b-\x1f\x7f]+$")]


class State(StrEnum):
    """Where a change is. Only `pending` is decided, and nothing comes back."""

    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"
    FAILED = "failed"
    """Approved, when it could no longer be made as it was asked for."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A change as it is asked for.

    `target` is what it is about (`user/<id>`), `version` the version of it that the asker saw, None for what is not
    there yet. `inputs` are what it takes to make the change, and may be personal: they go when it is decided.
    `changes` are its fields before and after (`{"role": {"old": ..., "new": ...}}`), personal ones masked.
    """

    kind: str
    target: str
    version: int | None
    inputs: Mapping[str, Any]
    changes: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Approval:
    """One change that was asked for, and what came of it. `state` is as of the moment it was read; `inputs` are
    empty from its end on."""

    id: str
    kind: str
    target: str
    version: int | None
    inputs: Mapping[str, Any]
    changes: Mapping[str, Mapping[str, Any]]
    asked_by: str
    state: State
    expires_at: datetime
    decided_by: str | None
    decided_at: datetime | None
    reason: str | None
    failure: str | None
    created_at: datetime

    @property
    def target_id(self) -> str:
        """The identifier in `target`."""
        return self.target.partition("/")[2]


@dataclass(frozen=True, slots=True)
class Waiting:
    """What becomes of a change instead of being made: it waits. `is_new` unless the same was asked for already."""

    approval: Approval
    is_new: bool


@dataclass(frozen=True, slots=True)
class Basis:
    """By what right a change is made that four eyes are asked for: the second pair, or why there is none."""

    name: Literal["granted", "none_available", "issuer", "bootstrap"]
    approval_id: str | None = None

    @property
    def severity(self) -> Literal["warning", "error"]:
        """Of the change's event: whoever reads the log shall see what one pair of eyes did."""
        return "error" if self.name == "none_available" else "warning"

    def told(self) -> dict[str, str]:
        """The members of the change's event."""
        return {"approval": self.name, **({"approval_id": self.approval_id} if self.approval_id else {})}


def refuse_decision(approval: Approval, *, by: str) -> ReeveError | None:
    """Why `by` may not decide a change, whatever it is about; None when they may."""
    return refused(Refusal.OWN_REQUEST) if approval.asked_by == by else refuse_end(approval)


def refuse_end(approval: Approval) -> ReeveError | None:
    """Why a change is not decided or withdrawn any more; None while it waits."""
    match approval.state:
        case State.PENDING:
            return None
        case State.EXPIRED:
            return approval_expired(approval)
        case state:
            return Conflict(f"approval {approval.id} is {state}", code="approval_decided", state=state.value)


def refuse_asking(asked: Asked, *, by: str, waiting: Approval | None, pending: int) -> ReeveError | None:
    """Why a change is not put up for approval: another one of the same thing waits, or too many of this asker's do.

    What `by` asked for already, and nothing has changed since, is no refusal: it waits.
    """
    if waiting is not None:
        is_same = (waiting.asked_by, waiting.version, waiting.inputs) == (by, asked.version, asked.inputs)
        return None if is_same else _exists(waiting)
    if pending >= MOST_PENDING:
        return Conflict(f"{MOST_PENDING} of your changes wait already, which is the most", code="too_many_approvals")
    return None


def _exists(waiting: Approval) -> Conflict:
    return Conflict(
        f"approval {waiting.id} of the same thing waits: it is approved, rejected or withdrawn first",
        code="approval_exists",
        approval_id=waiting.id,
    )


def approval_expired(approval: Approval) -> Conflict:
    """The 409 of a change that nobody decided in time. It is no 410: what was asked for can still be read."""
    return Conflict(
        f"nobody decided it before {approval.expires_at:%Y-%m-%dT%H:%M:%SZ}; it may be asked for again",
        code="approval_expired",
    )


def approval_not_found(approval_id: str) -> NotFound:
    """The 404 of an approval that is not there, or that is not the caller's to see."""
    return NotFound(f"no approval {approval_id}", code="approval_not_found")


def approval_failed(approval: Approval) -> Conflict:
    """The 409 of a change that was approved too late."""
    return Conflict(
        f"the change can no longer be made as it was asked for: {approval.failure}",
        code="approval_failed",
        cause=approval.failure,
    )
