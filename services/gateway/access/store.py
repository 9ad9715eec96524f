"""What a request's access is looked up from: live sessions with their users, and registered clients."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, func, select, text, update

from libs.common.database.engine import Session
from libs.common.delivery.senders import RegisteredClient
from services.gateway.access.ip_rules import IpRules, read_networks
from services.gateway.access.lifetimes import Lifetimes
from services.gateway.tables import clients, sessions, users


@dataclass(frozen=True, slots=True)
class LiveSession:
    """A session that holds now, and whose it is."""

    id: str
    user_id: str
    email: str
    role: str
    permission_epoch: int
    expires_at: datetime
    is_seen_lately: bool


@dataclass(frozen=True, slots=True)
class EndedSession:
    """A session that was ended just now, and whose it was."""

    id: str
    user_id: str


def holds_now(lifetimes: Lifetimes) -> ColumnElement[bool]:
    """Whether a row of `sessions` is one that nobody ended and that is within both limits."""
    used_after = func.now() - timedelta(seconds=lifetimes.idle_seconds)
    return and_(sessions.c.is_active, sessions.c.expires_at > func.now(), sessions.c.last_seen_at > used_after)


async def find_live_session(session: Session, session_id: str, *, lifetimes: Lifetimes) -> LiveSession | None:
    """The session unless it ended, is past a limit, or its user may no longer act."""
    noted_after = func.now() - timedelta(seconds=lifetimes.seen_every_seconds)
    found = await session.execute(
        select(
            sessions.c.id,
            sessions.c.user_id,
            users.c.email,
            users.c.role,
            users.c.permission_epoch,
            sessions.c.expires_at,
            (sessions.c.last_seen_at > noted_after).label("is_seen_lately"),
        )
        .join(users, users.c.id == sessions.c.user_id)
        .where(sessions.c.id == session_id, holds_now(lifetimes), users.c.is_active)
    )
    row = found.one_or_none()
    return LiveSession(**row._mapping) if row is not None else None


async def touch_session(session: Session, session_id: str, *, lifetimes: Lifetimes) -> None:
    """Note that a live session was used now, at most every `seen_every_seconds` whoever asks."""
    noted_before = func.now() - timedelta(seconds=lifetimes.seen_every_seconds)
    await session.execute(
        update(sessions)
        .where(sessions.c.id == session_id, holds_now(lifetimes), sessions.c.last_seen_at <= noted_before)
        .values(last_seen_at=func.now())
    )


async def end_sessions(
    session: Session,
    *,
    reason: str,
    session_id: str | None = None,
    user_id: str | None = None,
    spared: str | None = None,
) -> list[EndedSession]:
    """End one session, or all of a user's but the `spared` one; those that had ended already are not among them."""
    if session_id is None and user_id is None:
        raise ValueError("either a session or a user must be named")
    ending = update(sessions).where(sessions.c.is_active)
    if session_id is not None:
        ending = ending.where(sessions.c.id == session_id)
    if user_id is not None:
        ending = ending.where(sessions.c.user_id == user_id)
    if spared is not None:
        ending = ending.where(sessions.c.id != spared)
    rows = await session.execute(
        ending.values(is_active=False, logout_at=func.now(), end_reason=reason).returning(
            sessions.c.id, sessions.c.user_id
        )
    )
    return [EndedSession(row.id, row.user_id) for row in rows]


async def find_client_scopes(session: Session, client_id: str) -> tuple[str, ...] | None:
    """What a registered client may do; None when there is no such client."""
    found = await session.execute(select(clients.c.scopes).where(clients.c.client_id == client_id))
    row = found.one_or_none()
    return tuple(row.scopes) if row is not None else None


async def load_ip_rules(session: Session) -> IpRules:
    """The rules about addresses."""
    row = (await session.execute(text("SELECT version, allow::text[], deny::text[] FROM ip_rules"))).one()
    return IpRules(version=row.version, allow=read_networks(row.allow), deny=read_networks(row.deny))


async def load_senders(session: Session) -> dict[str, RegisteredClient]:
    """Every registered client by its id: the source it speaks for and the types it may send."""
    rows = await session.execute(select(clients.c.client_id, clients.c.source, clients.c.event_types))
    return {row.client_id: RegisteredClient(row.client_id, row.source, tuple(row.event_types)) for row in rows}
