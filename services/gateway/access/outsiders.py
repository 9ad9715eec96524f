"""Callers that another issuer vouches for: as what they act here.

Their role is what their token's claims map to. Whoever has an account here acts in its name, and not
at all once it is switched off; whoever has none acts under an id made of issuer and subject.
"""

from dataclasses import dataclass

from libs.common.database.engine import Database
from libs.common.identity import Actor, ActorType
from services.gateway.access import store
from services.gateway.access.cache import ShortCache
from services.gateway.access.issuers.directory import TrustedIssuers
from services.gateway.access.issuers.models import Identity
from services.gateway.access.permissions import level_of, permissions_of
from services.gateway.access.tokens import invalid_token

CACHE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known here about an identity: its account, when it has one."""

    user_id: str | None
    is_active: bool


class Outsiders:
    """Turns tokens of trusted issuers into actors."""

    def __init__(self, database: Database, issuers: TrustedIssuers) -> None:
        self.issuers = issuers
        self._database = database
        self._standings: ShortCache[Standing] = ShortCache(ttl_seconds=CACHE_SECONDS)

    async def authenticate(self, token: str) -> Actor | None:
        """Who a token stands for; None when no trusted issuer is concerned. Raises as `TrustedIssuers.identify`."""
        identity = await self.issuers.identify(token)
        if identity is None:
            return None
        standing = self._standings.find(identity.name)
        if standing is None:
            standing = await self._standings.load(identity.name, lambda: self._look_up(identity))
        if not standing.is_active:
            raise invalid_token("the account of this identity is switched off")
        return external_actor(identity, standing)

    def evict(self, user_id: str | None = None) -> None:
        """Forget what is known about an account, or about everybody."""
        self._standings.evict(where=None if user_id is None else lambda standing: standing.user_id == user_id)

    async def _look_up(self, identity: Identity) -> Standing:
        async with self._database.reading() as session:
            account = await store.find_linked_account(session, identity.issuer, identity.subject)
        return Standing(None, is_active=True) if account is None else Standing(account.user_id, account.is_active)


def external_actor(identity: Identity, standing: Standing) -> Actor:
    """The actor of an identity. One without a role is no administrator: it is known, and may do nothing."""
    return Actor(
        id=standing.user_id or identity.id,
        type=ActorType.ADMIN if identity.role is not None else ActorType.CLIENT,
        username=identity.name,
        role=identity.role,
        level=level_of(identity.role),
        permissions=permissions_of(identity.role),
        client_id=identity.client_id,
        issuer=identity.issuer,
    )
