"""What ID tokens and logout tokens must say (OpenID Connect Core 1.0, 3.1.3.7; Back-Channel Logout 1.0, 2.6): pure."""

import base64
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256, sha384, sha512
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from services.gateway.access.issuers.claims import LEEWAY_SECONDS, Name, NumericDate, check_times
from services.gateway.access.issuers.compact import Compact
from services.gateway.access.issuers.models import BadToken

Model = TypeVar("Model", bound=BaseModel)

MOST_LOGOUT_AGE_SECONDS = 120
LOGOUT_TYPE = "logout+jwt"
LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"
_ID_TOKEN_TYPES = (None, "JWT", "jwt", "id+jwt")
_HASHES = {"256": sha256, "384": sha384, "512": sha512}


@dataclass(frozen=True, slots=True)
class Expected:
    """Whose tokens they must be: of this issuer, for this client."""

    issuer: str
    client_id: str


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Who signed in at the issuer, in which session there, and everything that was said about them."""

    subject: str
    sid: str | None
    claims: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class LoggedOut:
    """Whose session ended at the issuer: one of theirs, or all. `key` is the token's own name."""

    subject: str | None
    sid: str | None
    key: str
    expires_at: float


class _IdToken(BaseModel):
    model_config = ConfigDict(strict=True)

    iss: str
    sub: Name
    aud: str | list[str]
    exp: NumericDate
    iat: NumericDate
    nbf: NumericDate = 0
    nonce: str
    azp: str | None = None
    at_hash: str | None = None
    sid: Name | None = None


class _LogoutToken(BaseModel):
    model_config = ConfigDict(strict=True)

    iss: str
    aud: str | list[str]
    exp: NumericDate
    iat: NumericDate
    jti: Name
    events: dict[str, Any]
    sub: Name | None = None
    sid: Name | None = None


def read_id_token(compact: Compact, expected: Expected, *, nonce: str, access_token: str, now: float) -> SignedIn:
    """Who a verified ID token says signed in just now. Raises `BadToken`."""
    if compact.type not in _ID_TOKEN_TYPES:
        raise BadToken("typ is not that of an ID token")
    said = _checked(_IdToken, compact.claims)
    _check_parties(said.iss, said.aud, expected)
    if said.azp is not None and said.azp != expected.client_id:
        raise BadToken("azp is another")
    check_times(exp=said.exp, nbf=said.nbf, iat=said.iat, now=now)
    if not hmac.compare_digest(said.nonce.encode(), nonce.encode()):
        raise BadToken("nonce is another")
    if said.at_hash is not None and said.at_hash != at_hash(access_token, compact.algorithm):
        raise BadToken("at_hash is of another access token")
    return SignedIn(said.sub, said.sid, compact.claims)


def read_logout_token(compact: Compact, expected: Expected, *, now: float) -> LoggedOut:
    """What a verified logout token asks for. It must not be older than two minutes. Raises `BadToken`.

    That it is used once is for the caller to see to.
    """
    if compact.type not in (LOGOUT_TYPE, f"application/{LOGOUT_TYPE}"):
        raise BadToken("typ is not logout+jwt")
    said = _checked(_LogoutToken, compact.claims)
    _check_parties(said.iss, said.aud, expected)
    check_times(exp=said.exp, nbf=0, iat=said.iat, now=now)
    if now - said.iat > MOST_LOGOUT_AGE_SECONDS + LEEWAY_SECONDS:
        raise BadToken("it is too old")
    if not isinstance(said.events.get(LOGOUT_EVENT), dict):
        raise BadToken("it tells of no logout")
    if "nonce" in compact.claims:
        raise BadToken("a logout token has no nonce")
    if said.sub is None and said.sid is None:
        raise BadToken("it names neither sub nor sid")
    # Kept for as long as the token could be sent again.
    expires_at = said.iat + MOST_LOGOUT_AGE_SECONDS + 2 * LEEWAY_SECONDS
    return LoggedOut(said.sub, said.sid, said.jti, expires_at)


def at_hash(access_token: str, algorithm: str) -> str:
    """The left half of the access token's hash, by the hash of the signature's algorithm (Core, 3.1.3.6).

    For EdDSA with Ed25519 that is SHA-512.
    """
    digest = _HASHES.get(algorithm[-3:], sha512)(access_token.encode()).digest()
    return base64.urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=").decode()


def _checked(model: type[Model], claims: Mapping[str, Any]) -> Model:
    try:
        return model.model_validate(claims)
    except ValidationError as error:
        raise BadToken(f"claim {error.errors(include_input=False)[0]['loc'][0]}") from error


def _check_parties(iss: str, aud: str | list[str], expected: Expected) -> None:
    if iss != expected.issuer:
        raise BadToken("iss is another")
    # An audience beside us is one that we do not trust (Core, 3.1.3.7, 3).
    if aud not in (expected.client_id, [expected.client_id]):
        raise BadToken("aud is another")
