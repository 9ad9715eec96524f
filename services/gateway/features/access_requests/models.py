"""A request for a permission, its time, and the explanation of a decision: pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, StringConstraints

from libs.common.errors import Conflict, Invalid, NotFound
from services.gateway.access.permissions import EVERYTHING, PERMISSIONS, Rights

MOST_GRANT_DAYS = 30
MOST_PENDING = 20
"""Requests of one administrator that may wait at a time."""
MOST_NAMED = 20
"""People named in an explanation as those who could grant."""


def _checked_permission(value: str) -> str:
    if value not in PERMISSIONS:
        raise ValueError("no such permission")
    return value


Permission = Annotated[str, StringConstraints(max_length=64), AfterValidator(_checked_permission)]
Reason = Annotated[str, StringConstraints(min_length=1, max_length=500, pattern=r"^[^\x00-\x08\x0b-\x1f\x7f]+$")]


class State(StrEnum):
    """Where a request is. Only `pending` is decided, only `approved` holds, and nothing comes back."""

    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class AccessRequest:
    """One request. An approved one is a grant until `until`, by the clock and whatever else is written down."""

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

    def state_at(self, now: datetime) -> State:
        """The state that holds at a moment: a grant whose time is over has ended, noted or not."""
        is_over = self.state is State.APPROVED and self.until is not None and self.until <= now
        return State.ENDED if is_over else self.state


def check_until(until: datetime, *, now: datetime) -> None:
    """Raise 422 `invalid_until` unless a grant may end then: later than now, and within 30 days."""
    if until <= now:
        raise _invalid_until(f"until must be in the future, got {until.isoformat()}")
    if until > now + timedelta(days=MOST_GRANT_DAYS):
        raise _invalid_until(f"until must be within {MOST_GRANT_DAYS} days, got {until.isoformat()}")


def _invalid_until(message: str) -> Invalid:
    problem = {"loc": ["body", "until"], "msg": message, "type": "invalid_until"}
    return Invalid(message, code="invalid_until", errors=[problem])


def request_not_found(request_id: str) -> NotFound:
    """The 404 of a request that is not there, or that is not the caller's to see."""
    return NotFound(f"no access request {request_id}", code="access_request_not_found")


def request_decided(request_id: str, state: State) -> Conflict:
    """The 409 of a second decision."""
    return Conflict(f"access request {request_id} is {state}", code="request_decided", state=state.value)


@dataclass(frozen=True, slots=True)
class LiveGrant:
    """A permission that somebody holds for a time."""

    request_id: str
    permission: str
    until: datetime
    decided_by: str | None


@dataclass(frozen=True, slots=True)
class Standing:
    """What decides whether somebody may do something."""

    is_active: bool
    role: str
    rights: Rights
    grants: tuple[LiveGrant, ...]


@dataclass(frozen=True, slots=True)
class Because:
    """One reason for or against: `kind` is `role`, `grant` or `account`; `permission` is the one that matched."""

    kind: str
    role: str | None = None
    permission: str | None = None
    request_id: str | None = None
    until: datetime | None = None
    granted_by: str | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """Whether somebody holds a permission, by what, or what it would take."""

    is_granted: bool
    by: tuple[Because, ...]
    missing: tuple[Because, ...]


def explain(standing: Standing, permission: str) -> Explanation:
    """Why a permission is held or not; it says granted exactly when the guard lets its holder in."""
    by = (
        *(Because("role", role=standing.role, permission=held) for held in _matching(standing.rights, permission)),
        *(
            Because(
                "grant",
                permission=grant.permission,
                request_id=grant.request_id,
                until=grant.until,
                granted_by=grant.decided_by,
            )
            for grant in standing.grants
            if grant.permission == permission
        ),
    )
    missing: list[Because] = []
    if not standing.is_active:
        missing.append(Because("account"))
    if not by:
        missing.append(Because("role", role=standing.role, permission=permission))
    return Explanation(is_granted=not missing, by=by if not missing else (), missing=tuple(missing))


def _matching(rights: Rights, permission: str) -> Iterable[str]:
    """The permissions of a role that contain one: by name, by resource, by everything."""
    wanted = (permission, f"{permission.partition(':')[0]}:*", EVERYTHING)
    return (held for held in wanted if held in rights.permissions)
