"""Bodies about permissions that are asked for, and about why somebody may or may not."""

from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from services.gateway.features.access_requests.models import AccessRequest, Because, Permission, Reason, State
from services.gateway.features.schemas import ListQuery, ListResponse


class AskForAccessRequest(BaseModel):
    """The permission that is asked for, and what for."""

    model_config = ConfigDict(extra="forbid")

    permission: Permission
    reason: Reason


class ApproveAccessRequest(BaseModel):
    """Until when the permission is held: later than now, and within 30 days."""

    model_config = ConfigDict(extra="forbid")

    until: AwareDatetime


class RejectAccessRequest(BaseModel):
    """Why a request is declined; its asker reads it."""

    model_config = ConfigDict(extra="forbid")

    reason: Reason


class AccessRequestsQuery(ListQuery):
    """Filters of the list. Without `roles:write` one sees one's own, whatever `user_id` says."""

    user_id: Annotated[str | None, Field(pattern=r"^[0-9a-fA-F-]{36}$")] = None
    permission: Permission | None = None
    state: State | None = None


class AccessRequestResponse(BaseModel):
    """A request and what became of it. `state` is `ended` from `until` on."""

    id: str
    user_id: str
    permission: str
    reason: str
    state: State
    until: datetime | None
    decided_by: str | None
    decided_at: datetime | None
    decision_reason: str | None
    ended_at: datetime | None
    end_reason: str | None
    created_at: datetime

    @classmethod
    def of(cls, found: AccessRequest, *, now: datetime) -> Self:
        """From the stored request, as it is at a moment."""
        state = found.state_at(now)
        has_lapsed = state is not found.state
        return cls(
            id=found.id,
            user_id=found.user_id,
            permission=found.permission,
            reason=found.reason,
            state=state,
            until=found.until,
            decided_by=found.decided_by,
            decided_at=found.decided_at,
            decision_reason=found.decision_reason,
            ended_at=found.until if has_lapsed else found.ended_at,
            end_reason="expired" if has_lapsed else found.end_reason,
            created_at=found.created_at,
        )


class AccessRequestsResponse(ListResponse):
    """One page of requests, newest first."""

    requests: list[AccessRequestResponse]


class ReasonResponse(BaseModel):
    """One reason: a role that grants or lacks the permission, a grant for a time, or an account switched off."""

    kind: Literal["role", "grant", "account"]
    role: str | None = None
    permission: str | None = None
    request_id: str | None = None
    until: datetime | None = None
    granted_by: str | None = None

    @classmethod
    def of(cls, reason: Because) -> Self:
        """From the decision."""
        return cls.model_validate(reason, from_attributes=True)


class GrantorResponse(BaseModel):
    """Somebody who could grant the permission."""

    user_id: str
    name: str
    role: str


class ExplanationResponse(BaseModel):
    """Whether somebody holds a permission: by what, or what is missing and who could grant it."""

    user_id: str
    permission: str
    granted: bool
    by: list[ReasonResponse]
    missing: list[ReasonResponse]
    who_can_grant: list[GrantorResponse]
