"""Assertions: how the gateway tells one service, for one call, who acts and what was permitted.

A JWT (RFC 7519) signed with Ed25519 (RFC 9864), valid for 30 seconds, for one audience, bound to the
method and the path with its query. It says which permission was checked; the service checks that it is
the one its route demands. Assertions are for what may be repeated: within their lifetime they may be used again.
"""

import base64
import hashlib
import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from cryptography.hazmat.primitives import serialization as form
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey
from pydantic import BaseModel, ConfigDict, ValidationError

from libs.common.errors import Unauthenticated
from libs.common.identity import Actor, ActorType, Caller, Level, Origin
from libs.common.ids import new_id

HEADER = "reeve-assertion"
"""The request header that carries an assertion, in lower case."""

LIFETIME_SECONDS = 30
REUSE_SECONDS = 10
MOST_CACHED = 10_000
MOST_TOKEN_CHARACTERS = 8192
MOST_USER_AGENT = 256
_ALGORITHM = "Ed25519"
_TYPE = "reeve-assertion+jwt"
_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_FUTURE_SECONDS = 5


class _Claims(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    iss: str
    aud: str
    sub: str
    act: dict[str, str]
    kind: str
    name: str
    role: str | None
    level: str
    session: str | None
    client: str | None
    perm: str
    call: str
    origin: dict[str, str | None]
    iat: int
    exp: int
    jti: str


@dataclass(frozen=True, slots=True)
class _Verified:
    actor: Actor
    origin: Origin
    permission: str
    call: str
    expires: float


class AssertionMinter:
    """The gateway's side. The same caller asking the same again within 10 seconds gets the same text."""

    def __init__(
        self, private_key: Ed25519PrivateKey, issuer: str = "gateway", *, clock: Callable[[], float] = time.time
    ) -> None:
        self._key = OKPKey.import_key(_pem(private_key))
        self._issuer = issuer
        self._clock = clock
        self.most_cached = MOST_CACHED
        self._minted: dict[tuple[object, ...], tuple[str, float]] = {}

    @property
    def cached(self) -> int:
        """How many assertions are kept for reuse."""
        return len(self._minted)

    def mint(self, caller: Caller, *, audience: str, permission: str, method: str, target: str) -> str:
        """`target` is the path and query exactly as the service will receive them, such as `/internal/x?limit=5`."""
        actor, origin = caller.actor, caller.origin
        identity = (actor.id, actor.type, actor.username, actor.role, actor.level, actor.session_id, actor.client_id,
                    origin.username, origin.ip_address, origin.user_agent)  # fmt: skip
        asked = (*identity, audience, permission, method, target)
        now = self._clock()
        known = self._minted.get(asked)
        if known is not None and now - known[1] < REUSE_SECONDS:
            return known[0]
        token = self._sign(caller, audience=audience, permission=permission, call=_call(method, target), now=int(now))
        if len(self._minted) >= self.most_cached:
            self._minted.clear()
        self._minted[asked] = (token, now)
        return token

    def _sign(self, caller: Caller, *, audience: str, permission: str, call: str, now: int) -> str:
        actor, origin = caller.actor, caller.origin
        claims = _Claims(
            iss=self._issuer,
            aud=audience,
            sub=actor.id,
            act={"sub": self._issuer},
            kind=actor.type.value,
            name=actor.username,
            role=actor.role,
            level=actor.level.value,
            session=actor.session_id,
            client=actor.client_id,
            perm=permission,
            call=call,
            origin={
                "username": origin.username,
                "ip_address": origin.ip_address,
                "user_agent": origin.user_agent and origin.user_agent[:MOST_USER_AGENT],
                "session_id": origin.session_id,
            },
            iat=now,
            exp=now + LIFETIME_SECONDS,
            jti=new_id(),
        )
        header = {"alg": _ALGORITHM, "typ": _TYPE}
        return jwt.encode(header, claims.model_dump(), self._key, algorithms=[_ALGORITHM])


class AssertionVerifier:
    """A service's side. A token that was verified once is known by its SHA-256 until it expires."""

    def __init__(
        self,
        public_key: Ed25519PublicKey,
        audience: str,
        *,
        issuer: str = "gateway",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._key = OKPKey.import_key(_public_pem(public_key))
        self.audience = audience
        self._issuer = issuer
        self._clock = clock
        self.most_cached = MOST_CACHED
        self._known: dict[bytes, _Verified] = {}

    @property
    def cached(self) -> int:
        """How many verified tokens are known."""
        return len(self._known)

    def verify(
        self,
        token: str,
        *,
        permission: str,
        method: str,
        target: str,
        request_id: str | None = None,
        correlation_id: str | None = None,
        traceparent: str | None = None,
    ) -> Caller:
        """The caller of this very call. Raises `Unauthenticated` for whatever does not fit exactly.

        The actor holds exactly the one permission that the gateway checked.
        """
        now = self._clock()
        digest = hashlib.sha256(token.encode("utf-8", "replace")).digest()
        known = self._known.get(digest)
        if known is None:
            known = self._read(token, now)
            if len(self._known) >= self.most_cached:
                self._known.clear()
            self._known[digest] = known
        if known.expires <= now:
            self._known.pop(digest, None)
            raise _refused("it has expired")
        if known.permission != permission:
            raise _refused("it is for another permission")
        if known.call != _call(method, target):
            raise _refused("it is for another call")
        origin = known.origin if request_id is None else known.origin.model_copy(update={"request_id": request_id})
        return Caller(known.actor, origin, correlation_id or request_id or new_id(), traceparent)

    def _read(self, token: str, now: float) -> _Verified:
        if len(token) > MOST_TOKEN_CHARACTERS or not _COMPACT.fullmatch(token) or not _is_canonical(token):
            raise _refused("it is malformed")
        try:
            read = jwt.decode(token, self._key, algorithms=[_ALGORITHM])
            claims = _Claims.model_validate(read.claims)
            actor = _actor(claims)
            origin = Origin.model_validate(claims.origin)
        except (JoseError, ValidationError, ValueError) as error:
            raise _refused("it is not valid") from error
        if read.header != {"alg": _ALGORITHM, "typ": _TYPE}:
            raise _refused("it is of another type")
        if claims.iss != self._issuer or claims.act != {"sub": self._issuer}:
            raise _refused("it is from another issuer")
        if claims.aud != self.audience:
            raise _refused("it is for another audience")
        if claims.exp - claims.iat > LIFETIME_SECONDS or claims.iat > now + _FUTURE_SECONDS or claims.exp <= now:
            raise _refused("it has expired")
        return _Verified(actor, origin, claims.perm, claims.call, claims.exp)


def _actor(claims: _Claims) -> Actor:
    return Actor(
        id=claims.sub,
        type=ActorType(claims.kind),
        username=claims.name,
        role=claims.role,
        level=Level(claims.level),
        permissions=frozenset((claims.perm,)),
        session_id=claims.session,
        client_id=claims.client,
    )


def _call(method: str, target: str) -> str:
    digest = hashlib.sha256(f"{method} {target}".encode("utf-8", "replace")).digest()
    return base64.urlsafe_b64encode(digest).decode("ascii").rstrip("=")


def _is_canonical(token: str) -> bool:
    """Whether each part is the only base64url text of its bytes: no spare bits set (RFC 4648, 3.5)."""
    for part in token.split("."):
        try:
            decoded = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
        except ValueError:
            return False
        if base64.urlsafe_b64encode(decoded).decode("ascii").rstrip("=") != part:
            return False
    return True


def _refused(reason: str) -> Unauthenticated:
    return Unauthenticated(
        f"the assertion is refused: {reason}", code="invalid_assertion", challenge='Bearer error="invalid_token"'
    )


def _pem(key: Ed25519PrivateKey) -> bytes:
    return key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())


def _public_pem(key: Ed25519PublicKey) -> bytes:
    return key.public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo)
