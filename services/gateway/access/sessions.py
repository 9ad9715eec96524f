"""Who a token stands for right now: verified tokens, live sessions, registered clients.

An actor is looked up once and kept for at most five seconds; whatever ends a session or changes a
right evicts it at once, here directly and on other gateways by the event that says so.
"""

from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from prometheus_client import Counter

from libs.common.database.engine import Database
from libs.common.errors import Unauthenticated
from libs.common.events import users
from libs.common.events.envelope import Event
from libs.common.identity import Actor, ActorType, Level
from libs.common.web.paging import CursorKey
from services.gateway.access import store
from services.gateway.access.addresses import Network
from services.gateway.access.cache import ShortCache
from services.gateway.access.limits import Limits, new_limits
from services.gateway.access.outsiders import Outsiders
from services.gateway.access.passwords import Passwords
from services.gateway.access.permissions import level_of, permissions_of
from services.gateway.access.tokens import Claims, Tokens, invalid_token

CACHE_SECONDS = 5.0

_LOOKUPS = Counter(
    "reeve_permission_cache", "Lookups of who a token stands for, by where the answer came from.", ("result",)
)
_HIT = _LOOKUPS.labels("hit")
_MISS = _LOOKUPS.labels("miss")

ANONYMOUS = Actor(
    id="anonymous", type=ActorType.ANONYMOUS, username="anonymous", role=None, level=Level.NONE, permissions=frozenset()
)
"""Whoever calls a public route."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What is configured about access."""

    cursor_secret: bytes
    session_seconds: int = 3600
    trusted_proxies: tuple[Network, ...] = ()


class AccessControl:
    """Everything the guard needs, and what sign-in works with. One per process."""

    def __init__(
        self,
        database: Database,
        *,
        tokens: Tokens,
        limits: Limits,
        passwords: Passwords,
        rules: Rules,
        outsiders: Outsiders | None = None,
    ) -> None:
        self.database = database
        self.tokens = tokens
        self.limits = limits
        self.passwords = passwords
        self.rules = rules
        self.outsiders = outsiders
        self.cursors = CursorKey(rules.cursor_secret)
        self._admins: ShortCache[Actor] = ShortCache(ttl_seconds=CACHE_SECONDS)
        self._clients: ShortCache[frozenset[str]] = ShortCache(ttl_seconds=CACHE_SECONDS)

    async def authenticate(self, token: str) -> Actor:
        """Who this access token stands for.

        Raises `Unauthenticated` when it does not hold, and whatever the database raises when that cannot be known.
        """
        try:
            claims = self.tokens.verify(token)
        except Unauthenticated:
            outsider = await self.outsiders.authenticate(token) if self.outsiders is not None else None
            if outsider is None:
                raise
            return outsider
        if claims.sid is not None:
            return await self._admin(claims.sid)
        return await self._client(claims)

    def evict(self, *, session_id: str | None = None, user_id: str | None = None, client_id: str | None = None) -> None:
        """Forget what is known about a session, a user or a client; without any of them, everything."""
        if session_id is not None:
            self._admins.evict(session_id)
        if user_id is not None:
            self._admins.evict(where=lambda actor: actor.id == user_id)
            if self.outsiders is not None:
                self.outsiders.evict(user_id)
        if client_id is not None:
            self._clients.evict(client_id)
        if session_id is None and user_id is None and client_id is None:
            self._admins.evict()
            self._clients.evict()
            if self.outsiders is not None:
                self.outsiders.evict()

    def apply_event(self, event: Event) -> None:
        """Forget what an event of any gateway makes untrue. Ignores every other event."""
        found = event.data if isinstance(event.data, dict) else {}
        match event.type:
            case users.SessionEnded.TYPE:
                self.evict(session_id=str(found.get("session_id")))
            case users.UserRoleChanged.TYPE | users.UserStatusChanged.TYPE:
                self.evict(user_id=str(found.get("user_id")))
            case users.ClientRegistered.TYPE | users.ClientDeleted.TYPE:
                self.evict(client_id=str(found.get("client_id")))
            case _:
                pass

    def close(self) -> None:
        """End the threads that check passwords."""
        self.passwords.close()

    async def _admin(self, session_id: str) -> Actor:
        actor = self._admins.find(session_id)
        if actor is not None:
            _HIT.inc()
            return actor
        _MISS.inc()
        return await self._admins.load(session_id, lambda: self._look_up_admin(session_id))

    async def _look_up_admin(self, session_id: str) -> Actor:
        async with self.database.reading() as session:
            found = await store.find_live_session(session, session_id)
            if found is None:
                raise invalid_token("the session has ended")
            if not found.is_seen_lately:
                await store.touch_session(session, session_id)
        return admin_actor(user_id=found.user_id, email=found.email, role=found.role, session_id=session_id)

    async def _client(self, claims: Claims) -> Actor:
        client_id = claims.sub
        scopes = self._clients.find(client_id)
        if scopes is not None:
            _HIT.inc()
        else:
            _MISS.inc()
            scopes = await self._clients.load(client_id, lambda: self._look_up_client(client_id))
        # What the token was given, as far as the client still holds it.
        return client_actor(client_id, scopes.intersection(claims.scope.split()))

    async def _look_up_client(self, client_id: str) -> frozenset[str]:
        async with self.database.reading() as session:
            found = await store.find_client_scopes(session, client_id)
        if found is None:
            raise invalid_token("the client is not registered")
        return frozenset(found)


def new_access(
    database: Database,
    *,
    signing_key: Ed25519PrivateKey,
    issuer: str,
    rate_limit: str,
    login_rate_limit: str,
    rules: Rules,
    passwords: Passwords | None = None,
    outsiders: Outsiders | None = None,
) -> AccessControl:
    """Access control with limits in memory; `issuer` is the `iss` of the tokens it signs with `signing_key`."""
    return AccessControl(
        database,
        tokens=Tokens(signing_key, issuer=issuer),
        limits=new_limits(caller=rate_limit, login=login_rate_limit),
        passwords=passwords or Passwords(),
        rules=rules,
        outsiders=outsiders,
    )


def admin_actor(*, user_id: str, email: str, role: str, session_id: str) -> Actor:
    """An administrator in one of their sessions."""
    return Actor(
        id=user_id,
        type=ActorType.ADMIN,
        username=email,
        role=role,
        level=level_of(role),
        permissions=permissions_of(role),
        session_id=session_id,
    )


def client_actor(client_id: str, scopes: frozenset[str]) -> Actor:
    """A platform service with the scopes it was given."""
    return Actor(
        id=client_id,
        type=ActorType.CLIENT,
        username=client_id,
        role=None,
        level=Level.NONE,
        permissions=scopes,
        client_id=client_id,
    )
