"""Access tokens: JWTs in the profile of RFC 9068, signed with Ed25519.

Hardened as RFC 8725 asks: one algorithm, one key of our choosing, exact `typ`, `iss` and `aud`, no
header member beyond ours, and no text but the canonical one (unpadded base64url without stray bits).
A verified token is remembered by the SHA-256 of its text until it expires; whether its session still
lives is decided elsewhere, at every request.
"""

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from joserfc import jwt
from joserfc.errors import JoseError, UnsupportedAlgorithmError
from joserfc.jwk import OKPKey
from joserfc.jws import JWSRegistry
from pydantic import BaseModel, ConfigDict, ValidationError

from libs.common.errors import Unauthenticated
from libs.common.ids import new_id

AUDIENCE = "reeve"
TOKEN_TYPE = "at+jwt"  # noqa: S105 - a media type, not a secret
ALGORITHM = "EdDSA"
LIFETIME_SECONDS = 900
MOST_CHARACTERS = 4096
MOST_REMEMBERED = 20_000

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
    user_id: str | None = None
    sid: str | None = None
    auth_time: int | None = None
    client_id: str | None = None


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A new token's text and for how many seconds it holds."""

    text: str
    expires_in: int


class Tokens:
    """Issues and verifies the gateway's own access tokens."""

    def __init__(
        self,
        key: Ed25519PrivateKey,
        *,
        issuer: str,
        clock: Callable[[], float] = time.time,
        most_remembered: int = MOST_REMEMBERED,
    ) -> None:
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        self._key = OKPKey.import_key(pem)
        self._header = {"alg": ALGORITHM, "typ": TOKEN_TYPE, "kid": self._key.thumbprint()}
        self._registry = _OnlyEdDSA()
        self._issuer = issuer
        self._clock = clock
        self._verified: dict[bytes, Claims] = {}
        self._most_remembered = most_remembered

    def for_session(
        self,
        *,
        user_id: str,
        session_id: str,
        scope: str,
        signed_in_at: int,
        session_ends_at: int,
        idle_seconds: int = LIFETIME_SECONDS,
    ) -> IssuedToken:
        """A token for an administrator's session; it never outlives the session, nor one that nobody uses again.

        `signed_in_at` is when its owner last proved who they are (`auth_time`).
        """
        seconds = min(LIFETIME_SECONDS, idle_seconds, session_ends_at - int(self._clock()))
        return self._issue(
            {"sub": user_id, "user_id": user_id, "sid": session_id, "scope": scope, "auth_time": signed_in_at}, seconds
        )

    def for_client(self, *, client_id: str, scope: str) -> IssuedToken:
        """A token for a platform service (RFC 9068, 2.2: `sub` is the client itself)."""
        return self._issue({"sub": client_id, "client_id": client_id, "scope": scope}, LIFETIME_SECONDS)

    def verify(self, text: str) -> Claims:
        """The claims of a token of ours that still holds. Raises `Unauthenticated` for anything else."""
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
        common = {"iss": self._issuer, "aud": AUDIENCE, "jti": new_id(), "iat": now, "exp": now + seconds}
        text = jwt.encode(self._header, {**common, **claims}, self._key, registry=self._registry)
        return IssuedToken(text=text, expires_in=seconds)

    def _check(self, text: str) -> Claims:
        if len(text) > MOST_CHARACTERS or not _COMPACT.fullmatch(text):
            raise invalid_token()
        try:
            token = jwt.decode(text, self._key, registry=self._registry)
            claims = Claims.model_validate(token.claims)
        except (JoseError, ValidationError, ValueError) as error:
            raise invalid_token() from error
        now = self._clock()
        if token.header != self._header or claims.iss != self._issuer or claims.aud != AUDIENCE or claims.iat > now + 5:
            raise invalid_token()
        return claims

    def _remember(self, digest: bytes, claims: Claims) -> None:
        if len(self._verified) >= self._most_remembered:
            now = self._clock()
            self._verified = {key: kept for key, kept in self._verified.items() if kept.exp > now}
            if len(self._verified) >= self._most_remembered:
                self._verified.clear()
        self._verified[digest] = claims


def invalid_token(message: str = "the access token does not hold") -> Unauthenticated:
    """The one refusal of a token, whatever is wrong with it (RFC 6750, 3.1)."""
    return Unauthenticated(message, code="invalid_token", challenge='Bearer error="invalid_token"')
