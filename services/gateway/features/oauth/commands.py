"""Taking a token back (RFC 7009)."""

from datetime import UTC, datetime

from libs.common.database import outbox
from libs.common.database.engine import Session
from libs.common.events.users import TokenRevoked
from libs.common.identity import Caller
from services.gateway.access.events import event_of
from services.gateway.access.tokens import Claims
from services.gateway.features.oauth import store

MOST_REVOKED = 1000
"""Tokens of one client that are remembered one by one; past it all that it has are taken back at once."""


async def revoke_token(session: Session, caller: Caller, claims: Claims) -> bool:
    """Take back a token of the client that calls; False when it was already, which leaves no event."""
    client_id = caller.actor.id
    expires_at = datetime.fromtimestamp(claims.exp, UTC)
    await store.purge_revoked(session)
    if not await store.append_revoked(session, claims.jti, client_id=client_id, expires_at=expires_at):
        return False
    if await store.count_revoked(session, client_id) > MOST_REVOKED:
        await store.revoke_all(session, client_id)
    data = TokenRevoked(client_id=client_id, jti=claims.jti)
    await outbox.emit(session, event_of(caller, data, subject=f"client/{client_id}"))
    return True
