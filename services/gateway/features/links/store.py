"""Every SQL statement about links.

Whoever changes links of an account has its row in `users` locked before: so all of this has one order, and no two wait
for each other.
"""

from datetime import timedelta

from sqlalchemy import ColumnElement, delete, func, insert, select, update

from libs.common.database.engine import Session
from services.gateway.features.links.models import Link, Purpose
from services.gateway.tables import links

COUNTED = timedelta(hours=1)
KEPT = timedelta(days=1)
_LINK = (links.c.id, links.c.user_id, links.c.expires_at)


async def count_lately(session: Session, user_id: str, purpose: Purpose) -> int:
    """How many links of this purpose an account was sent within the last hour, used or not."""
    lately = select(func.count()).where(
        links.c.user_id == user_id, links.c.purpose == purpose, links.c.created_at > func.now() - COUNTED
    )
    return (await session.execute(lately)).scalar_one()


async def replace(session: Session, link_id: str, *, user_id: str, purpose: Purpose, token_hash: bytes) -> Link:
    """A new link in place of any that is open for the same; links that ended long ago are forgotten."""
    long_ago = func.now() - KEPT
    await session.execute(delete(links).where(links.c.user_id == user_id, links.c.expires_at < long_ago))
    await _end(session, user_id, "replaced", purpose)
    made = (
        insert(links)
        .values(
            id=link_id, user_id=user_id, purpose=purpose, token_hash=token_hash,
            expires_at=func.now() + timedelta(seconds=purpose.seconds),
        )
        .returning(*_LINK)
    )  # fmt: skip
    return Link(**(await session.execute(made)).one()._mapping)


async def find(session: Session, token_hash: bytes, purpose: Purpose) -> Link | None:
    """The link that works with this token now, for this purpose."""
    row = (await session.execute(select(*_LINK).where(*_works(token_hash, purpose)))).one_or_none()
    return Link(**row._mapping) if row is not None else None


async def take(session: Session, token_hash: bytes, purpose: Purpose) -> Link | None:
    """Use a link up; None when it does not work (any more). Of several at once one gets it."""
    taken = update(links).where(*_works(token_hash, purpose)).values(state="used", ended_at=func.now())
    row = (await session.execute(taken.returning(*_LINK))).one_or_none()
    return Link(**row._mapping) if row is not None else None


async def end_all(session: Session, user_id: str) -> None:
    """No open link of this account works any more."""
    await _end(session, user_id, "ended")


async def forget_all(session: Session, user_id: str) -> None:
    """Nothing is known of any link of this account."""
    await session.execute(delete(links).where(links.c.user_id == user_id))


async def _end(session: Session, user_id: str, state: str, purpose: Purpose | None = None) -> None:
    ended = update(links).where(links.c.user_id == user_id, links.c.state == "open")
    if purpose is not None:
        ended = ended.where(links.c.purpose == purpose)
    await session.execute(ended.values(state=state, ended_at=func.now()))


def _works(token_hash: bytes, purpose: Purpose) -> tuple[ColumnElement[bool], ...]:
    return (
        links.c.token_hash == token_hash, links.c.purpose == purpose, links.c.state == "open",
        links.c.expires_at > func.now(),
    )  # fmt: skip
