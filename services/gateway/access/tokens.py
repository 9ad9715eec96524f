"""Access tokens: JWTs in the profile of RFC 9068, signed with Ed25519.

Hardened as RFC 8725 asks: one algorithm, a key of our own ring, exact `typ`, `iss` and `aud`, no
header member beyond ours, and no text but the canonical one (unpadded base64url without stray bits).
A verified token is remembered by the SHA-256 of its text until it expires; whether its session still
lives is decided elsewhere, at every request.
"""

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256

import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc import jwt
from joserfc.errors import JoseError, UnsupportedAlgorithmError
from joserfc.jws import JWSRegistry
from joserfc.util import urlsafe_b64decode
from pydantic import BaseModel, ConfigDict, ValidationError

from libs.common.errors import Unauthenticated, Unavailable
from libs.common.ids import new_id
from services.gateway.access.keyring import ALGORITHM, KeyRing, NoSigningKey, RingKey, ring_of

AUDIENCE = "reeve"
TOKEN_TYPE = "at+jwt"  # noqa: S105 - a media type, not a secret
LIFETIME_SECONDS = 900
MOST_CHARACTERS = 4096
MOST_REMEMBERED = 20_000

_KID = re.compile(r"[A-Za-z0-9_-]{43}")
_CHALLENGE = 'Bearer error="invalid_token"'
_REFUSED = "the access token does not hold"
# Strict base64url: no padding, no other alphabet. The library refuses stray bits in a last character.
_COMPACT = re.compile(r"[A-Za-z0-9_-]{1,512}\.[A-Za-z0-9_-]{1,3072}\.[A-Za-z0-9_-]{86}")


class _OnlyEdDSA(JWSRegistry):
    """An allow-list of one. RFC 9864 renames the algorithm; `EdDSA` is the name that libraries read today."""

    def get_alg(self, name: str):  # type: ignore[no-untyped-def]
        if name != ALGORITHM:
            raise UnsupportedAlgorithmError(f"algorithm {name!r} is not allowed")
        return self.algorithms[ALGORITHM]


class Claims(BaseModel):
    """What a token of ours says, in strict types: anything else is no token of ours."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    iss: str
    aud: str
    sub: str
    jti: str
    iat: int
    exp: int
    scope: str
    permission_epoch: int = 0
    user_id: str | None = None
    sid: str | None = None
    auth_time: int | None = None
    client_id: str | None = None


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A new token's text and for how many seconds it holds."""

    text: str
    expires_in: int


class UnknownKey(Unauthenticated):
    """The token names a key that the ring does not hold: forged, or signed by a key that is new elsewhere."""


class Tokens:
    """Issues and verifies the gateway's own access tokens, at first with one key, later with the ring it is given."""

    def __init__(
        self,
        key: Ed25519PrivateKey,
        *,
        issuer: str,
        clock: Callable[[], float] = time.time,
        most_remembered: int = MOST_REMEMBERED,
    ) -> None:
        self._ring = ring_of(key)
        self._registry = _OnlyEdDSA()
        self.issuer = issuer
        self._clock = clock
        self._verified: dict[bytes, Claims] = {}
        self._most_remembered = most_remembered

    def use(self, ring: KeyRing) -> None:
        """Sign and verify with these keys from now on."""
        self._ring = ring
        # A key that is there no longer may have verified what is remembered.
        self._verified.clear()

    def published_keys(self) -> list[dict[str, str]]:
        """The public keys that tokens are verified with, as members of a JWK set."""
        return self._ring.published(self._clock())

    def for_session(
        self,
        *,
        user_id: str,
        session_id: str,
        scope: str,
        signed_in_at: int,
        session_ends_at: int,
        idle_seconds: int = LIFETIME_SECONDS,
        permission_epoch: int = 0,
    ) -> IssuedToken:
        """A token for an administrator's session; it never outlives the session, nor one that nobody uses again.

        `signed_in_at` is when its owner last proved who they are (`auth_time`).
        """
        seconds = min(LIFETIME_SECONDS, idle_seconds, session_ends_at - int(self._clock()))
        said: dict[str, str | int] = {
            "sub": user_id, "user_id": user_id, "sid": session_id, "scope": scope, "auth_time": signed_in_at,
            "permission_epoch": permission_epoch,
        }  # fmt: skip
        return self._issue(said, seconds)

    def for_client(self, *, client_id: str, scope: str, permission_epoch: int = 0) -> IssuedToken:
        """A token for a platform service (RFC 9068, 2.2: `sub` is the client itself)."""
        said: dict[str, str | int] = {
            "sub": client_id,
            "client_id": client_id,
            "scope": scope,
            "permission_epoch": permission_epoch,
        }
        return self._issue(said, LIFETIME_SECONDS)

    def verify(self, text: str) -> Claims:
        """The claims of a token of ours that still holds. Raises `Unauthenticated` for anything else, which is
        `UnknownKey` where a newer ring might know better."""
        digest = sha256(text.encode("utf-8", "surrogatepass")).digest()
        claims = self._verified.get(digest)
        if claims is None:
            claims = self._check(text)
            self._remember(digest, claims)
        if claims.exp <= self._clock():
            self._verified.pop(digest, None)
            raise invalid_token()
        return claims

    def _issue(self, claims: Mapping[str, str | int], seconds: int) -> IssuedToken:
        now = int(self._clock())
        common = {"iss": self.issuer, "aud": AUDIENCE, "jti": new_id(), "iat": now, "exp": now + seconds}
        try:
            key = self._ring.signing(now)
        except NoSigningKey:
            raise Unavailable("no key can sign a token now", code="signing_key_unavailable") from None
        text = jwt.encode(_header(key), {**common, **claims}, key.jwk, registry=self._registry)
        return IssuedToken(text=text, expires_in=seconds)

    def _check(self, text: str) -> Claims:
        if len(text) > MOST_CHARACTERS or not _COMPACT.fullmatch(text):
            raise invalid_token()
        key = self._key_of(text)
        try:
            token = jwt.decode(text, key.jwk, registry=self._registry)
            claims = Claims.model_validate(token.claims)
        except (JoseError, ValidationError, ValueError) as error:
            raise invalid_token() from error
        now = self._clock()
        if token.header != _header(key) or claims.iss != self.issuer or claims.aud != AUDIENCE or claims.iat > now + 5:
            raise invalid_token()
        return claims

    def _key_of(self, text: str) -> RingKey:
        """The key that the header names: an entry of our ring and nothing else."""
        try:
            header = orjson.loads(urlsafe_b64decode(text.partition(".")[0].encode("ascii")))
        except ValueError as error:
            raise invalid_token() from error
        kid = header.get("kid") if isinstance(header, dict) else None
        if not isinstance(kid, str) or not _KID.fullmatch(kid):
            raise invalid_token()
        key = self._ring.find(kid, self._clock())
        if key is None:
            raise UnknownKey(_REFUSED, code="invalid_token", challenge=_CHALLENGE)
        return key

    def _remember(self, digest: bytes, claims: Claims) -> None:
        if len(self._verified) >= self._most_remembered:
            now = self._clock()
            self._verified = {key: kept for key, kept in self._verified.items() if kept.exp > now}
            if len(self._verified) >= self._most_remembered:
                self._verified.clear()
        self._verified[digest] = claims


def _header(key: RingKey) -> dict[str, str]:
    return {"alg": ALGORITHM, "typ": TOKEN_TYPE, "kid": key.kid}


def invalid_token(message: str = _REFUSED) -> Unauthenticated:
    """The one refusal of a token, whatever is wrong with it (RFC 6750, 3.1)."""
    return Unauthenticated(message, code="invalid_token", challenge=_CHALLENGE)
