"""Every SQL statement about forgotten passwords."""

from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import select, text

from libs.common.database.engine import Session
from libs.common.identity import Origin
from services.gateway.tables import external_identities, users

MOST_WAITING = 1000


@dataclass(frozen=True, slots=True)
class ResetRequest:
    """Somebody said that they forgot the password of this address."""

    email: str
    origin: Origin
    correlation_id: str


async def append_request(session: Session, request_id: str, asked: ResetRequest) -> bool:
    """Keep a request until it is answered; False when too many wait."""
    added = await session.execute(
        text(
            "INSERT INTO reset_requests (id, email, origin, correlation_id)"
            " SELECT :id, :email, CAST(:origin AS jsonb), :correlation_id"
            " WHERE (SELECT count(*) FROM (SELECT FROM reset_requests LIMIT :most) AS waiting) < :most RETURNING 1"
        ),
        {
            "id": request_id, "email": asked.email, "correlation_id": asked.correlation_id, "most": MOST_WAITING,
            "origin": asked.origin.model_dump_json(exclude_none=True),
        },
    )  # fmt: skip
    return added.one_or_none() is not None


async def take_request(session: Session) -> ResetRequest | None:
    """Take out the oldest request that nobody else is answering; it comes back if the transaction does not commit."""
    taken = await session.execute(
        text(
            "DELETE FROM reset_requests WHERE id = (SELECT id FROM reset_requests ORDER BY id LIMIT 1"
            " FOR UPDATE SKIP LOCKED) RETURNING email, origin::text AS origin, correlation_id"
        )
    )
    row = taken.one_or_none()
    if row is None:
        return None
    found: dict[str, Any] = orjson.loads(row.origin)
    return ResetRequest(row.email, Origin(**found), row.correlation_id)


async def find_owner(session: Session, email: str) -> str | None:
    """Whose active account has this address. Its row is locked."""
    owner = select(users.c.id).where(users.c.email == email, users.c.is_active).with_for_update(key_share=True)
    return (await session.execute(owner)).scalar_one_or_none()


async def lock_user(session: Session, user_id: str) -> None:
    """Nobody else changes this account, or its links, until the transaction ends."""
    await session.execute(select(users.c.id).where(users.c.id == user_id).with_for_update(key_share=True))


async def is_external(session: Session, user_id: str) -> bool:
    """Whether this account's owner signs in at an OpenID Provider."""
    found = select(external_identities.c.subject).where(external_identities.c.user_id == user_id).limit(1)
    return (await session.execute(found)).first() is not None
