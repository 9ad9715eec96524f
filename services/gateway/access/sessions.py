"""Who a token stands for right now: verified tokens, live sessions, registered clients.

An actor is looked up once and kept for at most five seconds, and looked up again behind the back of whoever keeps
asking. Whatever ends a session or changes a right evicts it at once, here directly and on other gateways by the event
that says so.
"""

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from prometheus_client import Counter

from libs.common.database.engine import Database
from libs.common.errors import Unauthenticated
from libs.common.events import access, users
from libs.common.events.envelope import Event
from libs.common.events.sign_in import IpRulesChanged
from libs.common.identity import Actor, ActorType, Level
from libs.common.web.paging import CursorKey
from services.gateway.access import store
from services.gateway.access.addresses import Network
from services.gateway.access.browser_cookies import SessionCookies
from services.gateway.access.buckets import TokenBucketRateLimiter
from services.gateway.access.cache import ShortCache
from services.gateway.access.cross_site import page_origins
from services.gateway.access.ip_rules import IpRules
from services.gateway.access.lifetimes import CACHE_SECONDS, Lifetimes
from services.gateway.access.limits import Limits, new_limits
from services.gateway.access.memory_buckets import MemoryBuckets
from services.gateway.access.outsiders import Outsiders
from services.gateway.access.password_policy import PasswordPolicy
from services.gateway.access.passwords import Passwords
from services.gateway.access.permissions import Rights
from services.gateway.access.store import ClientRights
from services.gateway.access.tokens import Claims, Tokens, UnknownKey, invalid_token

OF_A_USER = frozenset(
    {
        users.UserUpdated.TYPE,
        users.UserRoleChanged.TYPE,
        users.UserStatusChanged.TYPE,
        users.UserDeleted.TYPE,
        users.UserErased.TYPE,
        access.AccessGranted.TYPE,
        access.AccessEnded.TYPE,
    }
)
"""The types that change who one user is or what they may do."""

_LONG_AGO = datetime.min.replace(tzinfo=UTC)

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
    lifetimes: Lifetimes = field(default_factory=Lifetimes)
    observes: bool = False
    """Whether an administrator without a permission is let through and recorded, instead of refused."""
    trusted_proxies: tuple[Network, ...] = ()
    browser_origins: tuple[str, ...] = ()
    """Origins, beside that of the platform's own URL, whose pages may use a session's cookie."""


class KeyFinder(Protocol):
    """Looks for signing keys that are new elsewhere."""

    async def look_again(self) -> None: ...


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
        password_policy: PasswordPolicy | None = None,
    ) -> None:
        self.database = database
        self.tokens = tokens
        self.limits = limits
        self.passwords = passwords
        self.rules = rules
        self.outsiders = outsiders
        self.password_policy = password_policy or PasswordPolicy()
        self.cursors = CursorKey(rules.cursor_secret)
        self.cookies = SessionCookies(rules.cursor_secret)
        self.page_origins = page_origins((tokens.issuer, *rules.browser_origins))
        self._admins: ShortCache[Actor] = ShortCache(ttl_seconds=rules.lifetimes.cache_seconds, lapses_in=_lapses_in)
        self.keys: KeyFinder | None = None
        self._clients: ShortCache[ClientRights] = ShortCache(ttl_seconds=CACHE_SECONDS)
        self._ip_rules: ShortCache[IpRules] = ShortCache(ttl_seconds=CACHE_SECONDS)

    async def authenticate(self, token: str) -> Actor:
        """Who this access token stands for.

        Raises `Unauthenticated` when it does not hold, and whatever the database raises when that cannot be known.
        """
        try:
            claims = await self._verified(token)
        except Unauthenticated:
            outsider = await self.outsiders.authenticate(token) if self.outsiders is not None else None
            if outsider is None:
                raise
            return outsider
        return await self._actor_of(claims)

    async def authenticate_cookie(self, value: str) -> Actor:
        """Who a session's cookie stands for. Raises as `authenticate` does."""
        ticket = self.cookies.read(value)
        if ticket is None:
            raise invalid_session()
        try:
            actor = await self._admin(ticket.session_id, 0, ticket.proved_at)
        except Unauthenticated:
            raise invalid_session() from None
        if not ticket.is_of(actor):
            raise invalid_session()
        return actor

    async def inspect(self, token: str) -> tuple[Claims, Actor] | None:
        """What a token of ours says and who it stands for now; None when it does not hold."""
        try:
            claims = await self._verified(token)
            return claims, await self._actor_of(claims)
        except Unauthenticated:
            return None

    async def ip_rules(self) -> IpRules:
        """The rules about addresses. Raises whatever the database raises when they cannot be known."""
        known = self._ip_rules.find("", renew=self._look_up_ip_rules)
        return known or await self._ip_rules.load("", self._look_up_ip_rules)

    def forget_ip_rules(self) -> None:
        """Look the rules about addresses up again."""
        self._ip_rules.evict()

    def proved_at(self, token: str) -> int | None:
        """When the bearer of a token of ours proved who they are, in seconds since 1970; None for any other token.

        For an administrator this is the `auth_time` of the token, for a client its issue: that took its secret.
        """
        try:
            claims = self.tokens.verify(token)
        except Unauthenticated:
            return None
        return claims.auth_time if claims.sid is not None else claims.iat

    async def of_session(self, session_id: str) -> Actor:
        """The administrator whose live session this is. Raises as `authenticate` does."""
        return await self._admin(session_id, 0)

    def evict(
        self,
        *,
        session_id: str | None = None,
        user_id: str | None = None,
        role: str | None = None,
        client_id: str | None = None,
    ) -> None:
        """Forget what is known about a session, a user, the holders of a role or a client; without any, everything."""
        if session_id is not None:
            self._admins.evict(session_id)
        if user_id is not None:
            self._admins.evict(where=lambda actor: actor.id == user_id)
        if role is not None:
            self._admins.evict(where=lambda actor: actor.role == role)
        if self.outsiders is not None and (user_id is not None or role is not None):
            self.outsiders.evict(user_id=user_id, role=role)
        if client_id is not None:
            self._clients.evict(client_id)
        if session_id is None and user_id is None and role is None and client_id is None:
            self._admins.evict()
            self._clients.evict()
            self._ip_rules.evict()
            if self.outsiders is not None:
                self.outsiders.evict()

    def apply_event(self, event: Event) -> None:
        """Forget what an event of any gateway makes untrue. Ignores every other event."""
        found = event.data if isinstance(event.data, dict) else {}
        match event.type:
            case users.SessionEnded.TYPE | users.SessionProved.TYPE:
                self.evict(session_id=str(found.get("session_id")))
            case wire_type if wire_type in OF_A_USER:
                self.evict(user_id=str(found.get("user_id")))
            case access.RoleChanged.TYPE | access.RoleDeleted.TYPE:
                self.evict(role=str(found.get("name")))
            case users.ClientRegistered.TYPE | users.ClientDeleted.TYPE | users.TokenRevoked.TYPE:
                self.evict(client_id=str(found.get("client_id")))
            case IpRulesChanged.TYPE:
                self.forget_ip_rules()
            case _:
                pass

    def close(self) -> None:
        """End the threads that check passwords, and look nothing up any more."""
        self.passwords.close()
        for cache in (self._admins, self._clients, self._ip_rules):
            cache.close()

    async def _verified(self, token: str) -> Claims:
        try:
            return self.tokens.verify(token)
        except UnknownKey:
            if self.keys is None:
                raise
            await self.keys.look_again()
            return self.tokens.verify(token)

    async def _actor_of(self, claims: Claims) -> Actor:
        if claims.sid is not None:
            return await self._admin(claims.sid, claims.permission_epoch)
        return await self._client(claims)

    async def _admin(self, session_id: str, epoch: int, proved_at: datetime = _LONG_AGO) -> Actor:
        look_up = partial(self._look_up_admin, session_id)
        actor = self._admins.find(session_id, renew=look_up)
        # A token that was made after a change of rights shows that what is known here is from before it; so does a
        # cookie that was made at a later proof.
        if actor is not None and actor.permission_epoch >= epoch and (actor.proved_at or _LONG_AGO) >= proved_at:
            _HIT.inc()
            return actor
        _MISS.inc()
        actor = await self._admins.load(session_id, look_up)
        if (actor.proved_at or _LONG_AGO) < proved_at:
            # Somebody else's lookup, which had begun before that proof.
            actor = await self._admins.load(session_id, look_up)
        return actor

    async def _look_up_admin(self, session_id: str) -> Actor:
        asked_at = time.time()  # Before the answer: a lapse may be noticed early, never late.
        async with self.database.reading() as session:
            found = await store.find_live_session(session, session_id, lifetimes=self.rules.lifetimes)
            if found is None:
                raise invalid_token("the session has ended")
            if not found.is_seen_lately:
                await store.touch_session(session, session_id, lifetimes=self.rules.lifetimes)
        return admin_actor(
            user_id=found.user_id,
            email=found.email,
            role=found.role,
            rights=found.rights,
            session_id=session_id,
            borrowed=found.borrowed,
            lapses_at=asked_at + found.lapses_in_seconds if found.lapses_in_seconds is not None else None,
            permission_epoch=found.permission_epoch,
            proved_at=found.proved_at,
        )

    async def _look_up_ip_rules(self) -> IpRules:
        async with self.database.reading() as session:
            return await store.load_ip_rules(session)

    async def _client(self, claims: Claims) -> Actor:
        client_id = claims.sub
        look_up = partial(self._look_up_client, client_id)
        rights = self._clients.find(client_id, renew=look_up)
        if rights is not None and rights.permission_epoch >= claims.permission_epoch:
            _HIT.inc()
        else:
            _MISS.inc()
            rights = await self._clients.load(client_id, look_up)
        # A client gets a new token by itself, so one from before its scopes or secret changed need not be interpreted.
        if rights.permission_epoch != claims.permission_epoch or claims.jti in rights.revoked:
            raise invalid_token("the token was taken back")
        return client_actor(client_id, rights.scopes.intersection(claims.scope.split()))

    async def _look_up_client(self, client_id: str) -> ClientRights:
        async with self.database.reading() as session:
            found = await store.find_client_rights(session, client_id)
        if found is None:
            raise invalid_token("the client is not registered")
        return found


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
    password_policy: PasswordPolicy | None = None,
) -> AccessControl:
    """Access control with limits in memory; `issuer` is the `iss` of the tokens it signs with `signing_key`."""
    return AccessControl(
        database,
        tokens=Tokens(signing_key, issuer=issuer),
        limits=new_limits(caller=rate_limit, login=login_rate_limit, limiter=TokenBucketRateLimiter(MemoryBuckets())),
        passwords=passwords or Passwords(),
        rules=rules,
        outsiders=outsiders,
        password_policy=password_policy,
    )


def admin_actor(
    *,
    user_id: str,
    email: str,
    role: str,
    rights: Rights,
    session_id: str,
    borrowed: frozenset[str] = frozenset(),
    lapses_at: float | None = None,
    permission_epoch: int = 0,
    proved_at: datetime | None = None,
) -> Actor:
    """An administrator in one of their sessions: what their role gives, and what they hold for a time."""
    return Actor(
        id=user_id,
        type=ActorType.ADMIN,
        username=email,
        role=role,
        level=rights.level,
        permissions=rights.permissions | borrowed,
        session_id=session_id,
        lapses_at=lapses_at,
        permission_epoch=permission_epoch,
        proved_at=proved_at,
    )


def invalid_session(
    message: str = "the session has ended, or its cookie was replaced; sign in again",
) -> Unauthenticated:
    """The one refusal of a session's cookie."""
    return Unauthenticated(message, code="invalid_session")


def _lapses_in(actor: Actor) -> float | None:
    return actor.lapses_at - time.time() if actor.lapses_at is not None else None


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
