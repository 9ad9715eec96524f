"""Notifications: written in batches, numbered in the order in which they become visible, read per administrator.

What an administrator has read is everything up to the mark of the last "mark all read", and rows of its own
for single ones: above the mark those that were read, at or below it those that were put back.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import orjson
from sqlalchemy import ColumnElement, Select, and_, case, exists, func, literal, null, or_, select, true, union_all

from libs.common.database.engine import Session, driver
from libs.common.events.notification_fields import Priority
from libs.common.ids import new_id
from services.notifications.models import Notification, NotificationDraft, notification_not_found
from services.notifications.store.reads import Mark
from services.notifications.tables import notifications as n
from services.notifications.tables import reads as r

MOST_COUNTED = 10_001

_APPEND = """
    WITH taken AS (
        UPDATE turn SET last_position = last_position + cardinality($1::uuid[]) RETURNING last_position
    )
    INSERT INTO notifications
        (position, id, type, priority, title, message, action_required, action_url, metadata, created_at,
         recipient_id)
    SELECT taken.last_position - cardinality($1) + row.place, row.id, row.type, row.priority, row.title, row.message,
           row.action_required, row.action_url, row.metadata, $9, row.recipient_id
    FROM taken, unnest($1, $2::text[], $3::text[], $4::text[], $5::text[], $6::boolean[], $7::text[], $8::jsonb[],
                       $10::text[])
         WITH ORDINALITY AS row (id, type, priority, title, message, action_required, action_url, metadata, recipient_id,
                                 place)
    RETURNING id::text, position
"""


@dataclass(frozen=True, slots=True)
class Filters:
    """Which notifications; None stands for all."""

    priority: Priority | None = None
    type: str | None = None
    is_read: bool | None = None
    action_required: bool | None = None


async def append(session: Session, drafts: Sequence[NotificationDraft], *, now: datetime) -> list[Notification]:
    """Store new notifications in one statement. Until the transaction ends nobody else adds any."""
    ids = [new_id() for _ in drafts]
    records = await driver(session).fetch(
        _APPEND,
        ids,
        [str(one.type) for one in drafts],
        [one.priority for one in drafts],
        [one.title for one in drafts],
        [one.message for one in drafts],
        [one.action_required for one in drafts],
        [one.action_url for one in drafts],
        [orjson.dumps(one.metadata).decode() for one in drafts],
        now,
        [one.recipient_id for one in drafts],
    )
    positions = {record["id"]: record["position"] for record in records}
    return [_stored(draft, id_, positions[id_], now) for draft, id_ in zip(drafts, ids, strict=True)]


async def get(session: Session, notification_id: str, *, admin_id: str, mark: Mark) -> Notification:
    """One notification as this administrator sees it. Raises `NotFound`."""
    found = await session.execute(_seen_by(admin_id, mark).where(n.c.id == notification_id, _is_for(admin_id)))
    row = found.first()
    if row is None:
        raise notification_not_found(notification_id)
    return Notification(**row._mapping)


async def delete(session: Session, notification_id: str, *, admin_id: str) -> tuple[str, str]:
    """Remove a notification that this administrator sees, and who has read it; its type and title. Raises `NotFound`."""
    gone = n.delete().where(n.c.id == notification_id, _is_for(admin_id)).returning(n.c.type, n.c.title)
    found = await session.execute(gone)
    row = found.first()
    if row is None:
        raise notification_not_found(notification_id)
    return row.type, row.title


async def search(
    session: Session,
    *,
    admin_id: str,
    mark: Mark,
    filters: Filters,
    limit: int,
    skip: int = 0,
    before: int | None = None,
) -> list[Notification]:
    """Newest first, `limit` of them after `skip`, or those at positions below `before`."""
    branches = [
        branch.order_by(n.c.position.desc()).limit(limit + skip)
        for branch in _branches(admin_id, mark, filters, before=before)
    ]
    union = union_all(*(select(branch.subquery()) for branch in branches)).subquery()
    page = select(union.c.position).order_by(union.c.position.desc()).limit(limit).offset(skip)
    statement = _seen_by(admin_id, mark).where(n.c.position.in_(page)).order_by(n.c.position.desc())
    return [Notification(**row._mapping) for row in await session.execute(statement)]


async def count(session: Session, *, admin_id: str, mark: Mark, filters: Filters) -> int:
    """How many there are, counted up to 10,001."""
    branches = [branch.limit(MOST_COUNTED) for branch in _branches(admin_id, mark, filters)]
    union = union_all(*(select(branch.subquery()) for branch in branches)).limit(MOST_COUNTED).subquery()
    found = await session.scalar(select(func.count()).select_from(union))
    return found or 0


async def unread_count(session: Session, *, admin_id: str, mark: Mark) -> int:
    """How many this administrator has not read, counted up to 10,001."""
    return await count(session, admin_id=admin_id, mark=mark, filters=Filters(is_read=False))


def _branches(admin_id: str, mark: Mark, filters: Filters, *, before: int | None = None) -> list[Select[tuple[int]]]:
    """Disjoint selections of positions; each walks an index, so that a page never costs more than itself."""
    wanted: list[ColumnElement[bool]] = [_is_for(admin_id)]
    wanted += [
        column == value
        for column, value in (
            (n.c.priority, filters.priority), (n.c.type, filters.type), (n.c.action_required, filters.action_required),
        )
        if value is not None
    ]  # fmt: skip
    if before is not None:
        wanted.append(n.c.position < before)
    return [select(n.c.position).where(part, *wanted) for part in _parts(admin_id, mark, filters.is_read)]


def _is_for(admin_id: str) -> ColumnElement[bool]:
    """For everybody, or for this administrator alone."""
    return or_(n.c.recipient_id.is_(None), n.c.recipient_id == admin_id)


def _parts(admin_id: str, mark: Mark, is_read: bool | None) -> list[ColumnElement[bool]]:
    if is_read is None:
        return [true()]
    own = and_(r.c.admin_id == admin_id, r.c.is_read.is_(is_read))
    opposite = and_(r.c.admin_id == admin_id, r.c.is_read.is_not(is_read), r.c.position == n.c.position)
    above, below = n.c.position > mark.read_up_to, n.c.position <= mark.read_up_to
    is_current = r.c.generation == mark.generation
    if is_read:
        singly = n.c.position.in_(select(r.c.position).where(own, r.c.position > mark.read_up_to))
        return [singly, and_(below, ~exists().where(opposite, is_current))]
    put_back = n.c.position.in_(select(r.c.position).where(own, is_current, r.c.position <= mark.read_up_to))
    return [and_(above, ~exists().where(opposite)), put_back]


def _seen_by(admin_id: str, mark: Mark) -> Select[tuple[object, ...]]:
    """The columns of `Notification`; a row of one's own counts when it is newer than the mark."""
    counts = and_(r.c.position.is_not(None), or_(r.c.generation == mark.generation, r.c.position > mark.read_up_to))
    below = n.c.position <= mark.read_up_to
    is_read = case((counts, r.c.is_read), else_=below)
    read_at = case((counts, r.c.changed_at), (below, literal(mark.read_at, r.c.changed_at.type)), else_=null())
    return select(
        n.c.position, n.c.id, n.c.type, n.c.priority, n.c.title, n.c.message, n.c.action_required, n.c.action_url,
        n.c.metadata, n.c.created_at, n.c.recipient_id, is_read.label("is_read"), read_at.label("read_at"),
    ).select_from(n.outerjoin(r, and_(r.c.position == n.c.position, r.c.admin_id == admin_id)))  # fmt: skip


def _stored(draft: NotificationDraft, id_: str, position: int, now: datetime) -> Notification:
    return Notification(
        position=position, id=id_, type=str(draft.type), priority=draft.priority, title=draft.title,
        message=draft.message, action_required=draft.action_required, action_url=draft.action_url,
        metadata=draft.metadata, created_at=now, recipient_id=draft.recipient_id,
    )  # fmt: skip
