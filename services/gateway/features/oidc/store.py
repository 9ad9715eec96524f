"""Every SQL statement about identities of other issuers, their sessions, and what works once."""

from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import and_, delete, func, insert, or_, select
from sqlalchemy.dialects import postgresql

from libs.common.database.engine import Session
from services.gateway.tables import external_identities, external_sessions, sessions, spent_tokens

MOST_PURGED = 100


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


async def find_user_id(session: Session, issuer: str, names: Sequence[str]) -> str | None:
    """The account of an identity under one of its names (`names_of`); None when it has none."""
    found = select(external_identities.c.user_id).where(
        external_identities.c.issuer == issuer, external_identities.c.subject.in_(names)
    )
    row = (await session.execute(found.limit(1))).one_or_none()
    return row.user_id if row is not None else None


async def link(session: Session, issuer: str, subject: str, *, user_id: str) -> None:
    """Make an account that of an identity, for good."""
    await session.execute(insert(external_identities).values(issuer=issuer, subject=subject, user_id=user_id))


async def note_session(session: Session, session_id: str, *, issuer: str, subject: str, sid: str | None) -> None:
    """Remember by which session of the issuer a session began."""
    await session.execute(
        insert(external_sessions).values(session_id=session_id, issuer=issuer, subject=subject, sid=sid)
    )


async def find_begun(session: Session, *, issuer: str, subject: str | None, sid: str | None) -> Sequence[str]:
    """The sessions, not ended yet, that began by one session of the issuer, or, without a `sid`, all of a subject.

    A session of which no `sid` is known ends with any of its subject's.
    """
    of_subject = external_sessions.c.subject == subject
    if sid is None:
        fits = of_subject
    elif subject is None:
        fits = external_sessions.c.sid == sid
    else:
        fits = and_(of_subject, or_(external_sessions.c.sid == sid, external_sessions.c.sid.is_(None)))
    found = (
        select(sessions.c.id)
        .join(external_sessions, external_sessions.c.session_id == sessions.c.id)
        .where(external_sessions.c.issuer == issuer, fits, sessions.c.is_active)
        .order_by(sessions.c.id)
    )
    return (await session.execute(found)).scalars().all()
