"""Every SQL statement about identities of other issuers, their sessions, and what works once."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import and_, delete, func, insert, or_, select, update
from sqlalchemy.dialects import postgresql

from libs.common.database.engine import Session
from services.gateway.tables import external_identities, external_sessions, sessions, spent_tokens

MOST_PURGED = 100


@dataclass(frozen=True, slots=True)
class EndedSession:
    """A session that has just ended, and whose it was."""

    id: str
    user_id: str


async def spend(session: Session, digest: bytes, *, expires_at: float) -> bool:
    """Use up what works once; False when it was used before. Remembered until `expires_at` (Unix seconds)."""
    old = (
        select(spent_tokens.c.digest)
        .where(spent_tokens.c.expires_at < func.now())
        .limit(MOST_PURGED)
        .with_for_update(skip_locked=True)
    )
    await session.execute(delete(spent_tokens).where(spent_tokens.c.digest.in_(old)))
    spent = (
        postgresql.insert(spent_tokens)
        .values(digest=digest, expires_at=datetime.fromtimestamp(expires_at, UTC))
        .on_conflict_do_nothing(index_elements=[spent_tokens.c.digest])
        .returning(spent_tokens.c.digest)
    )
    return (await session.execute(spent)).one_or_none() is not None


async def find_user_id(session: Session, issuer: str, subject: str) -> str | None:
    """The account of an identity; None when it has none."""
    found = select(external_identities.c.user_id).where(
        external_identities.c.issuer == issuer, external_identities.c.subject == subject
    )
    row = (await session.execute(found)).one_or_none()
    return row.user_id if row is not None else None


async def link(session: Session, issuer: str, subject: str, *, user_id: str) -> None:
    """Make an account that of an identity, for good."""
    await session.execute(insert(external_identities).values(issuer=issuer, subject=subject, user_id=user_id))


async def note_session(session: Session, session_id: str, *, issuer: str, subject: str, sid: str | None) -> None:
    """Remember by which session of the issuer a session began."""
    await session.execute(
        insert(external_sessions).values(session_id=session_id, issuer=issuer, subject=subject, sid=sid)
    )


async def end_sessions(
    session: Session, *, issuer: str, subject: str | None, sid: str | None, reason: str
) -> Sequence[EndedSession]:
    """End the sessions that began by one session of the issuer, or, without a `sid`, all of a subject.

    A session of which no `sid` is known ends with any of its subject's.
    """
    of_subject = external_sessions.c.subject == subject
    if sid is None:
        fits = of_subject
    elif subject is None:
        fits = external_sessions.c.sid == sid
    else:
        fits = and_(of_subject, or_(external_sessions.c.sid == sid, external_sessions.c.sid.is_(None)))
    begun = select(external_sessions.c.session_id).where(external_sessions.c.issuer == issuer, fits)
    ended = (
        update(sessions)
        .where(sessions.c.id.in_(begun), sessions.c.is_active)
        .values(is_active=False, logout_at=func.now(), end_reason=reason)
        .returning(sessions.c.id, sessions.c.user_id)
    )
    return [EndedSession(row.id, row.user_id) for row in await session.execute(ended)]
