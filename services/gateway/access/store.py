"""What a request's access is looked up from: live sessions with their users, and registered clients."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select, update

from libs.common.database.engine import Session
from libs.common.delivery.senders import RegisteredClient
from services.gateway.tables import clients, external_identities, sessions, users

SEEN_EVERY = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class LiveSession:
    """A session that holds now, and whose it is."""

    id: str
    user_id: str
    email: str
    role: str
    expires_at: datetime
    is_seen_lately: bool


async def find_live_session(session: Session, session_id: str) -> LiveSession | None:
    """The session unless it ended, expired, or its user may no longer act."""
    found = await session.execute(
        select(
            sessions.c.id,
            sessions.c.user_id,
            users.c.email,
            users.c.role,
            sessions.c.expires_at,
            (sessions.c.last_seen_at > func.now() - SEEN_EVERY).label("is_seen_lately"),
        )
        .join(users, users.c.id == sessions.c.user_id)
        .where(
            sessions.c.id == session_id,
            sessions.c.is_active,
            sessions.c.expires_at > func.now(),
            users.c.is_active,
        )
    )
    row = found.one_or_none()
    return LiveSession(**row._mapping) if row is not None else None


@dataclass(frozen=True, slots=True)
class LinkedAccount:
    """The account of somebody whom another issuer vouches for."""

    user_id: str
    is_active: bool


async def find_linked_account(session: Session, issuer: str, subject: str) -> LinkedAccount | None:
    """The account of an identity; None when it has none."""
    found = await session.execute(
        select(users.c.id, users.c.is_active)
        .join(external_identities, external_identities.c.user_id == users.c.id)
        .where(external_identities.c.issuer == issuer, external_identities.c.subject == subject)
    )
    row = found.one_or_none()
    return LinkedAccount(row.id, row.is_active) if row is not None else None


async def touch_session(session: Session, session_id: str) -> None:
    """Note that a session was used now, at most once a minute whoever asks."""
    await session.execute(
        update(sessions)
        .where(sessions.c.id == session_id, sessions.c.last_seen_at <= func.now() - SEEN_EVERY)
        .values(last_seen_at=func.now())
    )


async def find_client_scopes(session: Session, client_id: str) -> tuple[str, ...] | None:
    """What a registered client may do; None when there is no such client."""
    found = await session.execute(select(clients.c.scopes).where(clients.c.client_id == client_id))
    row = found.one_or_none()
    return tuple(row.scopes) if row is not None else None


async def load_senders(session: Session) -> dict[str, RegisteredClient]:
    """Every registered client by its id: the source it speaks for and the types it may send."""
    rows = await session.execute(select(clients.c.client_id, clients.c.source, clients.c.event_types))
    return {row.client_id: RegisteredClient(row.client_id, row.source, tuple(row.event_types)) for row in rows}
