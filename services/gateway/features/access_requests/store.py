"""Every SQL statement about requests for permissions and the grants they become."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ARRAY, ColumnElement, Row, Text, cast, func, literal_column, or_, select, update
from sqlalchemy.dialects import postgresql

from libs.common.database.engine import Session
from libs.common.web.paging import MOST_COUNT
from services.gateway.access.permissions import EVERYTHING, Role
from services.gateway.access.store import ENDED, IS_APPROVED, IS_LIVE_GRANT, EndedGrant
from services.gateway.features.access_requests.models import (
    AccessRequest,
    LiveGrant,
    State,
    request_not_found,
)
from services.gateway.tables import access_requests, roles, users

MOST_ENDED = 100
"""Grants whose end is noted in one transaction."""

# Literal, as the partial indexes have it: a plan that is kept for any value of a parameter cannot use them, and
# ON CONFLICT then finds no index at all.
_IS_PENDING = access_requests.c.state == literal_column("'pending'")
_IS_OVER = IS_APPROVED & (access_requests.c.until <= func.clock_timestamp())


@dataclass(frozen=True, slots=True)
class Search:
    """What a list of requests is narrowed down to."""

    user_id: str | None = None
    permission: str | None = None
    state: State | None = None


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who could grant a permission."""

    id: str
    name: str
    role: str


async def append(
    session: Session, request_id: str, *, user_id: str, permission: str, reason: str
) -> AccessRequest | None:
    """A new request; None when the same one waits already."""
    added = (
        postgresql.insert(access_requests)
        .values(id=request_id, user_id=user_id, permission=permission, reason=reason)
        .on_conflict_do_nothing(
            index_elements=[access_requests.c.user_id, access_requests.c.permission],
            index_where=_IS_PENDING,
        )
        .returning(*access_requests.c)
    )
    row = (await session.execute(added)).one_or_none()
    return _request(row) if row is not None else None


async def get(session: Session, request_id: str, *, of_user: str | None = None, locks: bool = False) -> AccessRequest:
    """One request; with `of_user` only one of theirs. `locks` keeps others from deciding it meanwhile.

    Raises `NotFound`, the same for one that is somebody else's.
    """
    found = select(access_requests).where(access_requests.c.id == request_id)
    if of_user is not None:
        found = found.where(access_requests.c.user_id == of_user)
    if locks:
        found = found.with_for_update()
    row = (await session.execute(found)).one_or_none()
    if row is None:
        raise request_not_found(request_id)
    return _request(row)


async def decide(
    session: Session,
    request_id: str,
    state: State,
    *,
    decided_by: str | None = None,
    until: datetime | None = None,
    reason: str | None = None,
) -> AccessRequest:
    """Move a pending request, which the caller has locked, to its next state."""
    values: dict[str, object] = {"state": state.value, "until": until, "decision_reason": reason}
    if decided_by is not None:
        values |= {"decided_by": decided_by, "decided_at": func.now()}
    moved = update(access_requests).where(access_requests.c.id == request_id).values(**values)
    return _request((await session.execute(moved.returning(*access_requests.c))).one())


async def end(session: Session, request_id: str, *, reason: str) -> AccessRequest:
    """End a grant, which the caller has locked, before its time."""
    ended = update(access_requests).where(access_requests.c.id == request_id)
    ended = ended.values(state=State.ENDED.value, ended_at=func.now(), end_reason=reason)
    return _request((await session.execute(ended.returning(*access_requests.c))).one())


async def end_expired(session: Session) -> list[EndedGrant]:
    """Note the end of some grants whose time is over, each exactly once whoever else does the same."""
    over = (
        select(access_requests.c.id)
        .where(_IS_OVER)
        .order_by(access_requests.c.until)
        .limit(MOST_ENDED)
        .with_for_update(skip_locked=True)
    )
    noted = (
        update(access_requests)
        .where(access_requests.c.id.in_(over))
        .values(state=State.ENDED.value, ended_at=access_requests.c.until, end_reason="expired")
        .returning(*ENDED)
    )
    return [EndedGrant(**row._mapping) for row in await session.execute(noted)]


async def count_pending(session: Session, user_id: str) -> int:
    """How many requests of somebody wait."""
    counted = select(func.count()).where(access_requests.c.user_id == user_id, _IS_PENDING)
    return (await session.execute(counted)).scalar_one()


async def load_live(session: Session, user_id: str) -> list[LiveGrant]:
    """What somebody holds for a time right now."""
    found = select(
        access_requests.c.id.label("request_id"),
        access_requests.c.permission,
        access_requests.c.until,
        access_requests.c.decided_by,
    ).where(access_requests.c.user_id == user_id, IS_LIVE_GRANT)
    return [LiveGrant(**row._mapping) for row in await session.execute(found.order_by(access_requests.c.until))]


async def load_grantors(session: Session, permission: str, *, but: str, most: int) -> list[Person]:
    """Active administrators, but one, whose role holds both a permission and the right to approve requests."""
    found = (
        select(users.c.id, users.c.name, users.c.role)
        .outerjoin(roles, roles.c.name == users.c.role)
        .where(
            users.c.is_active,
            users.c.id != but,
            # Of the built-in roles the super admin's alone approves, and it holds everything.
            or_(users.c.role == Role.SUPER_ADMIN, _holds(permission) & _holds("roles:write")),
        )
        .order_by(users.c.id)
        .limit(most)
    )
    return [Person(**row._mapping) for row in await session.execute(found)]


async def search(
    session: Session, sought: Search, *, before: str | None, skip: int, limit: int
) -> tuple[list[AccessRequest], int]:
    """Requests, newest first, from after the id `before` on, and how many there are (counted up to one too many)."""
    matching = _conditions(sought)
    page = select(access_requests).where(*matching)
    if before is not None:
        page = page.where(access_requests.c.id < before)
    rows = await session.execute(page.order_by(access_requests.c.id.desc()).offset(skip).limit(limit))
    capped = select(access_requests.c.id).where(*matching).limit(MOST_COUNT + 1).subquery()
    total = (await session.execute(select(func.count()).select_from(capped))).scalar_one()
    return [_request(row) for row in rows], total


def _conditions(sought: Search) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if sought.user_id is not None:
        found.append(access_requests.c.user_id == sought.user_id)
    if sought.permission is not None:
        found.append(access_requests.c.permission == sought.permission)
    match sought.state:
        case None:
            pass
        case State.APPROVED:
            found.append(IS_LIVE_GRANT)
        case State.ENDED:
            found.append(or_(access_requests.c.state == State.ENDED.value, _IS_OVER))
        case state:
            found.append(access_requests.c.state == state.value)
    return found


def _holds(permission: str) -> ColumnElement[bool]:
    wanted = [permission, f"{permission.partition(':')[0]}:*", EVERYTHING]
    return roles.c.permissions.op("&&", is_comparison=True)(cast(postgresql.array(wanted), ARRAY(Text)))


def _request(row: Row[Any]) -> AccessRequest:
    return AccessRequest(**{**row._mapping, "state": State(row.state)})
