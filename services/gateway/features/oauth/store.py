"""Every SQL statement about tokens that clients took back."""

from datetime import datetime

from sqlalchemy import BigInteger, cast, delete, func, select, update
from sqlalchemy.dialects import postgresql

from libs.common.database.engine import Session
from services.gateway.tables import clients, revoked_tokens

MOST_PURGED = 100


async def append_revoked(session: Session, jti: str, *, client_id: str, expires_at: datetime) -> bool:
    """Remember a token as taken back until it ends by itself; False when it was already."""
    added = (
        postgresql.insert(revoked_tokens)
        .values(jti=jti, client_id=client_id, expires_at=expires_at)
        .on_conflict_do_nothing(index_elements=[revoked_tokens.c.jti])
        .returning(revoked_tokens.c.jti)
    )
    return (await session.execute(added)).one_or_none() is not None


async def count_revoked(session: Session, client_id: str) -> int:
    """How many tokens of a client are taken back and have not ended."""
    counted = select(func.count()).where(
        revoked_tokens.c.client_id == client_id, revoked_tokens.c.expires_at > func.now()
    )
    return (await session.execute(counted)).scalar_one()


async def revoke_all(session: Session, client_id: str) -> None:
    """Give a client another permission epoch: no token that it has is believed, so none need be remembered."""
    milliseconds = cast(func.extract("epoch", func.clock_timestamp()) * 1000, BigInteger)
    epoch = func.greatest(clients.c.permission_epoch + 1, milliseconds)
    await session.execute(update(clients).where(clients.c.client_id == client_id).values(permission_epoch=epoch))
    await session.execute(delete(revoked_tokens).where(revoked_tokens.c.client_id == client_id))


async def purge_revoked(session: Session) -> None:
    """Forget some tokens that ended by themselves."""
    old = (
        select(revoked_tokens.c.jti)
        .where(revoked_tokens.c.expires_at <= func.now())
        .limit(MOST_PURGED)
        .with_for_update(skip_locked=True)
    )
    await session.execute(delete(revoked_tokens).where(revoked_tokens.c.jti.in_(old)))
