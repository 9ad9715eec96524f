"""Every SQL statement about sessions and refresh tokens."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, func, insert, select, update

from libs.common.database.engine import Session
from services.gateway.tables import refresh_tokens, sessions, users

MOST_PURGED = 100
KEPT_AFTER_EXPIRY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class StoredSession:
    """A session as the table has it."""

    id: str
    user_id: str
    login_at: datetime
    expires_at: datetime


async def append_session(
    session: Session, session_id: str, *, user_id: str, ip_address: str | None, user_agent: str | None, seconds: int
) -> StoredSession | None:
    """Start a session of `seconds` for a user who may act now; None when they may not any more."""
    may_act = (
        await session.execute(
            select(users.c.id).where(users.c.id == user_id, users.c.is_active).with_for_update(read=True)
        )
    ).one_or_none()
    if may_act is None:
        return None
    added = (
        insert(sessions)
        .values(
            id=session_id, user_id=user_id, ip_address=ip_address, user_agent=user_agent,
            expires_at=func.now() + timedelta(seconds=seconds),
        )
        .returning(sessions.c.id, sessions.c.user_id, sessions.c.login_at, sessions.c.expires_at)
    )  # fmt: skip
    return StoredSession(**(await session.execute(added)).one()._mapping)


async def note_sign_in(session: Session, user_id: str, *, password_hash: str | None) -> None:
    """Remember when a user signed in last, and a hash made anew at today's cost if there is one."""
    values: dict[str, object] = {"last_login_at": func.now()}
    if password_hash is not None:
        values["password_hash"] = password_hash
    await session.execute(update(users).where(users.c.id == user_id).values(**values))


async def append_refresh_token(session: Session, token_hash: bytes, *, of: StoredSession) -> None:
    """Keep the hash of a session's next refresh token."""
    await session.execute(
        insert(refresh_tokens).values(token_hash=token_hash, session_id=of.id, expires_at=of.expires_at)
    )


async def use_refresh_token(session: Session, token_hash: bytes) -> tuple[str, bool] | None:
    """Mark a refresh token as used: its session, and whether this was the first use; None for an unknown token."""
    used = (
        update(refresh_tokens)
        .where(refresh_tokens.c.token_hash == token_hash, refresh_tokens.c.used_at.is_(None))
        .values(used_at=func.now())
        .returning(refresh_tokens.c.session_id)
    )
    first = (await session.execute(used)).one_or_none()
    if first is not None:
        return first.session_id, True
    known = select(refresh_tokens.c.session_id).where(refresh_tokens.c.token_hash == token_hash)
    again = (await session.execute(known)).one_or_none()
    return (again.session_id, False) if again is not None else None


async def find_live(session: Session, session_id: str) -> StoredSession | None:
    """A session that holds now, of a user who may act; locked against ending until this transaction does."""
    found = (
        select(sessions.c.id, sessions.c.user_id, sessions.c.login_at, sessions.c.expires_at)
        .join(users, users.c.id == sessions.c.user_id)
        .where(sessions.c.id == session_id, sessions.c.is_active, sessions.c.expires_at > func.now(), users.c.is_active)
        .with_for_update(read=True)
    )
    row = (await session.execute(found)).one_or_none()
    return StoredSession(**row._mapping) if row is not None else None


async def end_session(session: Session, session_id: str, *, reason: str) -> str | None:
    """End a session: its user, or None when it had ended already."""
    ended = (
        update(sessions)
        .where(sessions.c.id == session_id, sessions.c.is_active)
        .values(is_active=False, logout_at=func.now(), end_reason=reason)
        .returning(sessions.c.user_id)
    )
    row = (await session.execute(ended)).one_or_none()
    return row.user_id if row is not None else None


async def purge_refresh_tokens(session: Session) -> None:
    """Delete some refresh tokens of sessions that expired long ago."""
    old = (
        select(refresh_tokens.c.token_hash)
        .where(refresh_tokens.c.expires_at < func.now() - KEPT_AFTER_EXPIRY)
        .limit(MOST_PURGED)
        .with_for_update(skip_locked=True)
    )
    await session.execute(delete(refresh_tokens).where(refresh_tokens.c.token_hash.in_(old)))
