"""Every SQL statement about notices.

Whoever tells somebody of theirs has the row in `users` locked before, and so does whoever erases an account: what is
told is told once, and nothing is told to whoever was erased meanwhile.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta

import orjson
from sqlalchemy import delete, func, select, text, update

from libs.common.database.engine import Session
from libs.common.events.deliveries import NoticeKind
from services.gateway.features.links.models import Recipient
from services.gateway.features.notices.models import MOST_IN_AN_HOUR, MOST_WAITING, Notice
from services.gateway.tables import notices, users

COUNTED = timedelta(hours=1)
MOST_PURGED = 100


async def append(
    session: Session, notice_id: str, *, user_id: str, kind: NoticeKind, details: Mapping[str, str]
) -> bool:
    """Keep a notice until its owner is told; False when too many of theirs wait."""
    added = await session.execute(
        text(
            "INSERT INTO notices (id, user_id, kind, details) SELECT :id, :user_id, :kind, CAST(:details AS jsonb)"
            " WHERE (SELECT count(*) FROM notices WHERE user_id = :user_id AND told_at IS NULL) < :most RETURNING 1"
        ),
        {"id": notice_id, "user_id": user_id, "kind": kind, "details": orjson.dumps(details).decode(), "most": MOST_WAITING},
    )  # fmt: skip
    return added.one_or_none() is not None


async def take_owner(session: Session) -> str | None:
    """Of those who are to be told something and may be told now, who waits longest; nobody else tells them meanwhile."""
    found = await session.execute(
        text(
            "SELECT users.id::text FROM (SELECT user_id, min(created_at) AS since FROM notices WHERE told_at IS NULL"
            " GROUP BY user_id) AS waiting JOIN users ON users.id = waiting.user_id"
            " WHERE (SELECT count(DISTINCT letter_id) FROM notices AS told WHERE told.user_id = waiting.user_id"
            " AND told.told_at > now() - CAST(:counted AS interval)) < :most"
            " ORDER BY waiting.since LIMIT 1 FOR NO KEY UPDATE OF users SKIP LOCKED"
        ),
        {"counted": COUNTED, "most": MOST_IN_AN_HOUR},
    )
    return found.scalar_one_or_none()


async def load_waiting(session: Session, user_id: str) -> Sequence[Notice]:
    """What somebody is to be told, oldest first."""
    found = (
        select(notices.c.id, notices.c.kind, notices.c.details, notices.c.created_at)
        .where(notices.c.user_id == user_id, notices.c.told_at.is_(None))
        .order_by(notices.c.id)
    )
    return [Notice(**row._mapping) for row in await session.execute(found)]


async def find_recipient(session: Session, user_id: str) -> Recipient | None:
    """Where somebody is told; None for whoever is to be told nothing: an account that is switched off."""
    found = select(users.c.id, users.c.email, users.c.name).where(
        users.c.id == user_id, users.c.is_active, users.c.erased_at.is_(None)
    )
    row = (await session.execute(found)).one_or_none()
    return Recipient(row.id, row.email, row.name) if row is not None else None


async def note_told(session: Session, told: Sequence[Notice], *, letter_id: str) -> None:
    """These are in this letter; what they say is needed no more. What was told long ago is forgotten."""
    ids = [one.id for one in told]
    await session.execute(
        update(notices).where(notices.c.id.in_(ids)).values(letter_id=letter_id, told_at=func.now(), details={})
    )
    old = select(notices.c.id).where(notices.c.told_at < func.now() - COUNTED).limit(MOST_PURGED)
    await session.execute(delete(notices).where(notices.c.id.in_(old)))


async def forget_waiting(session: Session, user_id: str) -> None:
    """Somebody is told nothing of what waits."""
    await session.execute(delete(notices).where(notices.c.user_id == user_id, notices.c.told_at.is_(None)))


async def forget_all(session: Session, user_id: str) -> None:
    """Nothing is known of what somebody was told or was to be."""
    await session.execute(delete(notices).where(notices.c.user_id == user_id))
