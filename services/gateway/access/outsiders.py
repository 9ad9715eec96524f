"""Callers that another issuer vouches for: as what they act here.

Their role is what their token's claims map to, with the rights that it gives now. Whoever has an account here acts in its name, and not
at all once it is switched off; whoever has none acts under an id made of issuer and subject.
"""

from dataclasses import dataclass

from libs.common.database.engine import Database
from libs.common.identity import Actor, ActorType
from services.gateway.access import store
from services.gateway.access.cache import ShortCache
from services.gateway.access.issuers.directory import TrustedIssuers
from services.gateway.access.issuers.models import Identity
from services.gateway.access.lifetimes import CACHE_SECONDS
from services.gateway.access.permissions import NO_RIGHTS, Rights
from services.gateway.access.pseudonyms import names_of
from services.gateway.access.tokens import invalid_token


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known here about an identity: its account, when it has one, and what its role gives."""

    user_id: str | None
    is_active: bool
    role: str | None
    """What the claims map to, whether or not there is such a role."""
    rights: Rights | None
    """None when there is no such role."""


class Outsiders:
    """Turns tokens of trusted issuers into actors. Whose data was erased is known by a pseudonym under `secret`."""

    def __init__(self, database: Database, issuers: TrustedIssuers, *, secret: bytes) -> None:
        self.issuers = issuers
        self._secret = secret
        self._database = database
        self._standings: ShortCache[Standing] = ShortCache(ttl_seconds=CACHE_SECONDS)

    async def authenticate(self, token: str) -> Actor | None:
        """Who a token stands for; None when no trusted issuer is concerned. Raises as `TrustedIssuers.identify`."""
        identity = await self.issuers.identify(token)
        if identity is None:
            return None
        key = f"{identity.role or ''} {identity.name}"  # A role has no space: two pairs never share a key.
        standing = self._standings.find(key) or await self._standings.load(key, lambda: self._look_up(identity))
        if not standing.is_active:
            raise invalid_token("the account of this identity is switched off")
        return external_actor(identity, standing)

    def evict(self, *, user_id: str | None = None, role: str | None = None) -> None:
        """Forget what is known about an account and the holders of a role; without either, about everybody."""
        if user_id is None and role is None:
            self._standings.evict()
        if user_id is not None:
            self._standings.evict(where=lambda standing: standing.user_id == user_id)
        if role is not None:
            self._standings.evict(where=lambda standing: standing.role == role)

    async def _look_up(self, identity: Identity) -> Standing:
        names = names_of(self._secret, identity.issuer, identity.subject)
        async with self._database.reading() as session:
            account = await store.find_linked_account(session, identity.issuer, names)
            rights = await store.find_rights(session, identity.role) if identity.role is not None else None
        user_id, is_active = (account.user_id, account.is_active) if account is not None else (None, True)
        return Standing(user_id, is_active, identity.role, rights)


def external_actor(identity: Identity, standing: Standing) -> Actor:
    """The actor of an identity. One without a role that there is is no administrator: it is known, and may do nothing."""
    rights = standing.rights or NO_RIGHTS
    return Actor(
        id=standing.user_id or identity.id,
        type=ActorType.ADMIN if standing.rights is not None else ActorType.CLIENT,
        username=identity.name,
        role=identity.role if standing.rights is not None else None,
        level=rights.level,
        permissions=rights.permissions,
        client_id=identity.client_id,
        issuer=identity.issuer,
    )
