"""Every SQL statement of listing sessions and of ending those past a limit."""

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import ColumnElement, and_, case, func, or_, select, update

from libs.common.database.engine import Session
from libs.common.web.paging import MOST_COUNT
from services.gateway.access.lifetimes import Lifetimes
from services.gateway.access.store import holds_now
from services.gateway.features.sessions.models import UserSession
from services.gateway.tables import sessions, users


@dataclass(frozen=True, slots=True)
class Search:
    """What a list of sessions is narrowed down to."""

    user_id: str | None = None
    is_active: bool | None = None


async def find_owner(session: Session, session_id: str, *, user_id: str | None = None) -> str | None:
    """Whose a session is, among those of `user_id` where one is named; None for no such session."""
    found = select(sessions.c.user_id).where(sessions.c.id == session_id)
    if user_id is not None:
        found = found.where(sessions.c.user_id == user_id)
    return (await session.execute(found)).scalar_one_or_none()


async def search(
    session: Session, sought: Search, *, lifetimes: Lifetimes, before: str | None, skip: int, limit: int
) -> tuple[list[UserSession], int]:
    """Sessions, the newest first, from after the id `before` on, and how many there are (counted up to one too many).

    Ids are UUIDv7: their order is that of signing in.
    """
    lives = and_(holds_now(lifetimes), users.c.is_active)
    matching: list[ColumnElement[bool]] = [sessions.c.user_id == users.c.id]
    if sought.user_id is not None:
        matching.append(sessions.c.user_id == sought.user_id)
    if sought.is_active is not None:
        matching.append(lives if sought.is_active else ~lives)
    page = select(
        sessions.c.id, sessions.c.user_id, sessions.c.ip_address, sessions.c.user_agent, sessions.c.login_at,
        sessions.c.last_seen_at, sessions.c.expires_at, sessions.c.logout_at, sessions.c.end_reason,
        lives.label("is_active"),
    ).where(*matching)  # fmt: skip
    if before is not None:
        page = page.where(sessions.c.id < before)
    rows = await session.execute(page.order_by(sessions.c.id.desc()).offset(skip).limit(limit))
    capped = select(sessions.c.id).where(*matching).limit(MOST_COUNT + 1).subquery()
    total = (await session.execute(select(func.count()).select_from(capped))).scalar_one()
    return [UserSession(**row._mapping) for row in rows], total


async def end_outlived(session: Session, *, lifetimes: Lifetimes, most: int) -> list[tuple[str, str, str]]:
    """Mark up to `most` sessions past a limit as ended when they came to it: id, user and `idle` or `expired`.

    Several gateways share the work: a row that another one holds is left to it.
    """
    idle = timedelta(seconds=lifetimes.idle_seconds)
    past = (
        select(sessions.c.id)
        .where(
            sessions.c.is_active,
            or_(sessions.c.expires_at <= func.now(), sessions.c.last_seen_at <= func.now() - idle),
        )
        .limit(most)
        .with_for_update(skip_locked=True)
    )
    was_idle = sessions.c.last_seen_at + idle < sessions.c.expires_at
    rows = await session.execute(
        update(sessions)
        .where(sessions.c.id.in_(past))
        .values(
            is_active=False,
            logout_at=func.least(sessions.c.last_seen_at + idle, sessions.c.expires_at),
            end_reason=case((was_idle, "idle"), else_="expired"),
        )
        .returning(sessions.c.id, sessions.c.user_id, sessions.c.end_reason)
    )
    return [(row.id, row.user_id, row.end_reason) for row in rows]
