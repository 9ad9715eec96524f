"""Bodies about changes that need four eyes."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Self

from pydantic import BaseModel, ConfigDict

from services.gateway.features.approvals.models import Approval, Reason, State
from services.gateway.features.schemas import ListQuery, ListResponse, Responses


class RejectChangeRequest(BaseModel):
    """Why a change is declined; its asker reads it."""

    model_config = ConfigDict(extra="forbid")

    reason: Reason


class ApprovalsQuery(ListQuery):
    """Filters of the list: changes in this state now."""

    state: State | None = None


class FieldChangeResponse(BaseModel):
    """One field before and after; personal ones read `[redacted]` once the change is decided."""

    old: Any = None
    new: Any = None


class ApprovalResponse(BaseModel):
    """A change that somebody asked for and somebody else approves: what, about whom, by whom, until when.

    Who holds `permission`, and might make the change themselves, may decide it until `expires_at`. `failure` is the code of
    what kept an approved change from being made.
    """

    id: str
    kind: str
    permission: str | None
    target: str
    changes: dict[str, FieldChangeResponse]
    state: State
    asked_by: str
    expires_at: datetime
    decided_by: str | None
    decided_at: datetime | None
    reason: str | None
    failure: str | None
    created_at: datetime

    @classmethod
    def of(cls, found: Approval, *, permission: str | None, shows: tuple[str, ...] = ()) -> Self:
        """From the stored change; `shows` are the inputs that say what is masked, as long as it waits."""
        return cls(
            id=found.id,
            kind=found.kind,
            permission=permission,
            target=found.target,
            changes=_changes(found, shows),
            state=found.state,
            asked_by=found.asked_by,
            expires_at=found.expires_at,
            decided_by=found.decided_by,
            decided_at=found.decided_at,
            reason=found.reason,
            failure=found.failure,
            created_at=found.created_at,
        )


class ApprovalsResponse(ListResponse):
    """One page of changes, newest first."""

    approvals: list[ApprovalResponse]


AWAITS_APPROVAL: Responses = {
    202: {
        "model": ApprovalResponse,
        "description": "Nothing has changed: it needs somebody else's approval, which `Location` names.",
        "headers": {"Location": {"schema": {"type": "string"}}},
    }
}
"""The description of an answer that a change waits."""


def _changes(found: Approval, shows: tuple[str, ...]) -> dict[str, FieldChangeResponse]:
    unmasked: Mapping[str, Any] = {name: found.inputs[name] for name in shows if found.inputs.get(name) is not None}
    return {
        name: FieldChangeResponse(old=change.get("old"), new=unmasked.get(name, change.get("new")))
        for name, change in found.changes.items()
    }
