"""Bodies about one operation on many accounts."""

from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator

from services.gateway.access.permissions import RoleName
from services.gateway.features.lifecycle.schemas import Reason
from services.gateway.features.user_bulk.models import MOST_IDS, BulkChange, Operation, Outcome

_WITH_REASON = (Operation.ACTIVATE, Operation.DEACTIVATE)


class BulkUsersRequest(BaseModel):
    """One operation on at most 500 accounts, each named once. `role` goes with `set_role`, `reason` with
    `activate` and `deactivate`."""

    model_config = ConfigDict(extra="forbid")

    ids: Annotated[list[UUID], Field(min_length=1, max_length=MOST_IDS)]
    operation: Operation
    role: RoleName | None = None
    reason: Reason | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if len(set(self.ids)) < len(self.ids):
            raise ValueError("ids must name each account once")
        if (self.role is not None) != (self.operation is Operation.SET_ROLE):
            raise ValueError("role goes with set_role, and set_role needs one")
        if self.reason is not None and self.operation not in _WITH_REASON:
            raise ValueError("reason goes with activate and deactivate")
        return self

    def asked(self) -> BulkChange:
        """As the command takes it."""
        return BulkChange([str(one) for one in self.ids], self.operation, self.role, self.reason)


class BulkOutcomeResponse(BaseModel):
    """What became of one account; `status` and `error` are those that it alone would have been answered with."""

    id: str
    status: int
    outcome: Literal["changed", "awaiting_approval", "unchanged", "refused"]
    approval_id: str | None = None
    error: str | None = None
    message: str | None = None

    @classmethod
    def of(cls, outcome: Outcome) -> Self:
        """From the command's outcome."""
        if outcome.refusal is not None:
            refusal = outcome.refusal
            return cls(
                id=outcome.id, status=outcome.status, outcome="refused", error=refusal.code, message=refusal.message
            )
        if outcome.waiting is not None:
            waits = outcome.waiting.approval.id
            return cls(id=outcome.id, status=outcome.status, outcome="awaiting_approval", approval_id=waits)
        return cls(id=outcome.id, status=outcome.status, outcome="changed" if outcome.is_changed else "unchanged")


class BulkUsersResponse(BaseModel):
    """What became of each account, in the order of `ids`, and how many of which kind."""

    results: list[BulkOutcomeResponse]
    requested: int
    changed: int
    awaiting_approval: int
    unchanged: int
    refused: int

    @classmethod
    def of(cls, outcomes: list[Outcome]) -> Self:
        """From the command's outcomes."""
        results = [BulkOutcomeResponse.of(one) for one in outcomes]
        kinds = [one.outcome for one in results]
        return cls(
            results=results,
            requested=len(results),
            changed=kinds.count("changed"),
            awaiting_approval=kinds.count("awaiting_approval"),
            unchanged=kinds.count("unchanged"),
            refused=kinds.count("refused"),
        )
