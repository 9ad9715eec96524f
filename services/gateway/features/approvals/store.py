"""Every SQL statement about changes that wait for a second pair of eyes."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Row, case, func, literal_column, or_, select, text, update
from sqlalchemy.dialects import postgresql

from libs.common.database.engine import Session
from libs.common.web.paging import MOST_COUNT
from services.gateway.features.approvals.models import Approval, Asked, State
from services.gateway.tables import approvals

MOST_EXPIRED = 100
"""Ends of changes that nobody decided, noted in one transaction."""

_IS_PENDING = approvals.c.state == literal_column("'pending'")
_IS_LATE = approvals.c.expires_at <= func.clock_timestamp()
# By the clock and not by the row alone: a change expires by itself, whether or not somebody noted that it did.
_STATE: ColumnElement[str] = case((_IS_PENDING & _IS_LATE, "expired"), else_=approvals.c.state)
_COLUMNS = (*(column for column in approvals.c if column.name != "state"), _STATE.label("state"))


@dataclass(frozen=True, slots=True)
class Seen:
    """What somebody may see: changes of these kinds, and their own."""

    kinds: Collection[str]
    own: str


async def append(session: Session, approval_id: str, asked: Asked, *, asked_by: str, waits_seconds: int) -> Approval:
    """A new change that waits, by the database's clock, for so many seconds."""
    added = (
        postgresql.insert(approvals)
        .values(
            id=approval_id, kind=asked.kind, target=asked.target, version=asked.version, inputs=asked.inputs,
            changes=asked.changes, asked_by=asked_by,
            expires_at=func.clock_timestamp() + text("make_interval(secs => :waits_seconds)").bindparams(waits_seconds=waits_seconds),
        )
        .returning(*_COLUMNS)
    )  # fmt: skip
    return _approval((await session.execute(added)).one())


async def find(session: Session, approval_id: str, *, seen: Seen, locks: bool = False) -> Approval | None:
    """One change that somebody may see, or None. `locks` keeps others from deciding it meanwhile."""
    found = select(*_COLUMNS).where(approvals.c.id == approval_id, _is_seen(seen))
    if locks:
        found = found.with_for_update()
    row = (await session.execute(found)).one_or_none()
    return _approval(row) if row is not None else None


async def find_waiting(session: Session, kind: str, target: str) -> Approval | None:
    """The change of one kind of one thing that waits, or None. The caller keeps others from adding one meanwhile."""
    found = select(*_COLUMNS).where(approvals.c.kind == kind, approvals.c.target == target, _IS_PENDING, ~_IS_LATE)
    row = (await session.execute(found)).one_or_none()
    return _approval(row) if row is not None else None


async def count_pending(session: Session, asked_by: str) -> int:
    """How many changes of somebody wait."""
    counted = select(func.count()).where(approvals.c.asked_by == asked_by, _IS_PENDING, ~_IS_LATE)
    return (await session.execute(counted)).scalar_one()


async def end(
    session: Session,
    approval_id: str,
    state: State,
    *,
    decided_by: str | None = None,
    reason: str | None = None,
    failure: str | None = None,
) -> Approval | None:
    """Move a change that waits to its end, and forget its inputs; None when it waits no more."""
    values: dict[str, object] = {
        "state": state.value, "reason": reason, "failure": failure, "inputs": None,
        "decided_by": decided_by, "decided_at": func.clock_timestamp(),
    }  # fmt: skip
    ended = update(approvals).where(approvals.c.id == approval_id, _IS_PENDING, ~_IS_LATE).values(**values)
    row = (await session.execute(ended.returning(*_COLUMNS))).one_or_none()
    return _approval(row) if row is not None else None


async def end_expired(session: Session) -> list[Approval]:
    """Note the end of some changes that nobody decided, each exactly once whoever else does the same."""
    late = (
        select(approvals.c.id)
        .where(_IS_PENDING, _IS_LATE)
        .order_by(approvals.c.expires_at)
        .limit(MOST_EXPIRED)
        .with_for_update(skip_locked=True)
    )
    noted = update(approvals).where(approvals.c.id.in_(late)).values(state=State.EXPIRED.value, inputs=None)
    return [_approval(row) for row in await session.execute(noted.returning(*_COLUMNS))]


async def search(
    session: Session, state: State | None, *, seen: Seen, before: str | None, skip: int, limit: int
) -> tuple[list[Approval], int]:
    """Changes, newest first, from after the id `before` on, and how many there are (counted up to one too many)."""
    matching: list[ColumnElement[bool]] = [_is_seen(seen)]
    if state is not None:
        matching.append(_STATE.in_([state.value]))
    page = select(*_COLUMNS).where(*matching)
    if before is not None:
        page = page.where(approvals.c.id < before)
    rows = await session.execute(page.order_by(approvals.c.id.desc()).offset(skip).limit(limit))
    capped = select(approvals.c.id).where(*matching).limit(MOST_COUNT + 1).subquery()
    total = (await session.execute(select(func.count()).select_from(capped))).scalar_one()
    return [_approval(row) for row in rows], total


def _is_seen(seen: Seen) -> ColumnElement[bool]:
    return or_(approvals.c.kind.in_(sorted(seen.kinds)), approvals.c.asked_by == seen.own)


def _approval(row: Row[Any]) -> Approval:
    fields = dict(row._mapping)
    return Approval(**{**fields, "inputs": fields["inputs"] or {}, "state": State(row.state)})
