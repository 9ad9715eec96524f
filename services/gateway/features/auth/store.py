"""Every SQL statement about sessions and refresh tokens."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, func, insert, select, update

from libs.common.database.engine import Session
from services.gateway.access.lifetimes import Lifetimes
from services.gateway.access.store import holds_now
from services.gateway.tables import refresh_tokens, sessions, users

_EPOCH = select(users.c.permission_epoch).where(users.c.id == sessions.c.user_id).correlate(sessions).scalar_subquery()
_NEW = (sessions.c.id, sessions.c.user_id, sessions.c.login_at, sessions.c.proved_at, sessions.c.expires_at)
_STORED = (*_NEW, _EPOCH.label("permission_epoch"))
MOST_PURGED = 100
KEPT_AFTER_EXPIRY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class StoredSession:
    """A session as the table has it."""

    id: str
    user_id: str
    login_at: datetime
    proved_at: datetime
    expires_at: datetime
    permission_epoch: int
    """Of the user, now."""


async def append_session(
    session: Session,
    session_id: str,
    *,
    user_id: str,
    proved_hash: str | None,
    ip_address: str | None,
    user_agent: str | None,
    device_hash: bytes,
    seconds: int,
) -> StoredSession | None:
    """Start a session of `seconds` for a user who may act now; None when they may not any more, or when the hash
    that their password was checked against is theirs no longer. Without `proved_hash` it was not by password."""
    # FOR NO KEY UPDATE: the row is written before the commit, and two that had only shared it would wait for each other.
    acting = select(users.c.permission_epoch).where(users.c.id == user_id, users.c.is_active)
    acting = acting.with_for_update(key_share=True)
    if proved_hash is not None:
        acting = acting.where(users.c.password_hash == proved_hash)
    may_act = (await session.execute(acting)).one_or_none()
    if may_act is None:
        return None
    added = (
        insert(sessions)
        .values(
            id=session_id, user_id=user_id, ip_address=ip_address, user_agent=user_agent,
            device_hash=device_hash, expires_at=func.now() + timedelta(seconds=seconds),
        )
        .returning(*_NEW)
    )  # fmt: skip
    return StoredSession(**(await session.execute(added)).one()._mapping, permission_epoch=may_act.permission_epoch)


async def recognize_device(session: Session, user_id: str, device_hash: bytes) -> tuple[bool, bool]:
    """Whether a user signed in from this device before, and whether from any that was noted."""
    of_user = select(sessions.c.id).where(sessions.c.user_id == user_id)
    is_known = of_user.where(sessions.c.device_hash == device_hash).exists()
    has_history = of_user.where(sessions.c.device_hash.is_not(None)).exists()
    row = (await session.execute(select(is_known.label("is_known"), has_history.label("has_history")))).one()
    return row.is_known, row.has_history


async def note_sign_in(session: Session, user_id: str, *, password_hash: str | None) -> None:
    """Remember when a user signed in last, and a hash made anew at today's cost if there is one."""
    values: dict[str, object] = {"last_login_at": func.now()}
    if password_hash is not None:
        values["password_hash"] = password_hash
    await session.execute(update(users).where(users.c.id == user_id).values(**values))


async def find_password_hash(session: Session, user_id: str) -> str | None:
    """The hash of a user's password; None where there is none."""
    found = select(users.c.password_hash).where(users.c.id == user_id, users.c.is_active)
    return (await session.execute(found)).scalar_one_or_none()


async def replace_password_hash(session: Session, user_id: str, *, old: str, new: str) -> bool:
    """Give a user another password; False when it was changed meanwhile."""
    changed = (
        update(users)
        .where(users.c.id == user_id, users.c.is_active, users.c.password_hash == old)
        .values(password_hash=new, updated_at=func.now())
        .returning(users.c.id)
    )
    return (await session.execute(changed)).one_or_none() is not None


async def note_proof(session: Session, session_id: str, *, proved_hash: str) -> StoredSession | None:
    """Note that a session's owner proved who they are, by a password of this hash; None when either holds no longer."""
    still_theirs = (
        select(users.c.id)
        .where(users.c.id == sessions.c.user_id, users.c.is_active, users.c.password_hash == proved_hash)
        .exists()
    )
    noted = (
        update(sessions)
        .where(sessions.c.id == session_id, sessions.c.is_active, sessions.c.expires_at > func.now(), still_theirs)
        .values(proved_at=func.now(), last_seen_at=func.now())
        .returning(*_STORED)
    )
    row = (await session.execute(noted)).one_or_none()
    return StoredSession(**row._mapping) if row is not None else None


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


async def use_session(session: Session, session_id: str, *, lifetimes: Lifetimes) -> StoredSession | None:
    """Note the use of a session that holds now and whose user may act; None for any other.

    It is locked against ending until this transaction does.
    """
    may_act = select(users.c.id).where(users.c.id == sessions.c.user_id, users.c.is_active).exists()
    used = (
        update(sessions)
        .where(sessions.c.id == session_id, holds_now(lifetimes), may_act)
        .values(last_seen_at=func.now())
        .returning(*_STORED)
    )
    row = (await session.execute(used)).one_or_none()
    return StoredSession(**row._mapping) if row is not None else None


async def purge_refresh_tokens(session: Session) -> None:
    """Delete some refresh tokens of sessions that expired long ago."""
    old = (
        select(refresh_tokens.c.token_hash)
        .where(refresh_tokens.c.expires_at < func.now() - KEPT_AFTER_EXPIRY)
        .limit(MOST_PURGED)
        .with_for_update(skip_locked=True)
    )
    await session.execute(delete(refresh_tokens).where(refresh_tokens.c.token_hash.in_(old)))
