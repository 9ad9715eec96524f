"""What an access token of another issuer must say (RFC 9068, 4; RFC 7662, 2.2): pure."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StrictFloat, StrictInt, ValidationError

from services.gateway.access.issuers.compact import Compact
from services.gateway.access.issuers.models import (
    MOST_SUBJECT_CHARACTERS,
    BadToken,
    Identity,
    TrustedIssuer,
    mapped_role,
)

ACCESS_TOKEN_TYPES = frozenset({"at+jwt", "application/at+jwt"})
LEEWAY_SECONDS = 60
"""How far the clocks of an issuer and of this gateway may be apart."""

NumericDate = Annotated[StrictInt | StrictFloat, Field(ge=0, lt=2**53)]
Name = Annotated[str, Field(min_length=1, max_length=MOST_SUBJECT_CHARACTERS)]


class _Claims(BaseModel):
    model_config = ConfigDict(strict=True)

    iss: str
    sub: Name
    aud: str | list[str]
    exp: NumericDate
    iat: NumericDate
    nbf: NumericDate = 0
    jti: Name
    client_id: Name


class _Introspected(BaseModel):
    model_config = ConfigDict(strict=True)

    iss: str | None = None
    sub: Name | None = None
    aud: str | list[str]
    exp: NumericDate
    iat: NumericDate = 0
    nbf: NumericDate = 0
    client_id: Name
    token_type: str = "Bearer"  # noqa: S105 - how the token is used


def identity_of_token(compact: Compact, trusted: TrustedIssuer, *, key: str, now: float) -> Identity:
    """Whom a JWT stands for that the key of this thumbprint signed. Raises `BadToken` unless it is an access token, of this issuer, for us, now."""
    if compact.type not in ACCESS_TOKEN_TYPES:
        raise BadToken("typ is not at+jwt")
    try:
        claims = _Claims.model_validate(compact.claims)
    except ValidationError as error:
        raise BadToken(f"claim {error.errors(include_input=False)[0]['loc'][0]}") from error
    if claims.iss != trusted.issuer:
        raise BadToken("iss is another")
    check_times(exp=claims.exp, nbf=claims.nbf, iat=claims.iat, now=now)
    return _identity(compact.claims, trusted, claims, key=key)


def identity_of_introspection(answer: Mapping[str, Any], trusted: TrustedIssuer, *, now: float) -> Identity:
    """Whom an active token stands for, as its issuer says. Raises `BadToken` when it is inactive or not for us."""
    if answer.get("active") is not True:
        raise BadToken("its issuer says that it is not active")
    try:
        claims = _Introspected.model_validate(answer)
    except ValidationError as error:
        raise BadToken(f"introspection: member {error.errors(include_input=False)[0]['loc'][0]}") from error
    if claims.iss not in (None, trusted.issuer):
        raise BadToken("introspection: iss is another")
    if claims.token_type.lower() != "bearer":
        raise BadToken("introspection: not a bearer token")
    check_times(exp=claims.exp, nbf=claims.nbf, iat=claims.iat, now=now)
    return _identity(answer, trusted, claims, key=None)


def check_times(*, exp: float, nbf: float, iat: float, now: float) -> None:
    """Raise `BadToken` unless `now` lies between them, in Unix seconds and give or take the leeway."""
    if exp + LEEWAY_SECONDS <= now:
        raise BadToken("it has expired")
    if max(nbf, iat) - LEEWAY_SECONDS > now:
        raise BadToken("it is from the future")


def _identity(
    said: Mapping[str, Any], trusted: TrustedIssuer, claims: _Claims | _Introspected, *, key: str | None
) -> Identity:
    if trusted.audience not in ([claims.aud] if isinstance(claims.aud, str) else claims.aud):
        raise BadToken("aud is another")
    if "cnf" in said:
        # Bound to a key of its owner (RFC 7800); whether the caller holds that key is not checked here.
        raise BadToken("it is no plain bearer token")
    return Identity(
        issuer=trusted.issuer,
        # A client that acts for itself is its own subject (RFC 9068, 2.2); an introspection may leave that out.
        subject=claims.sub or claims.client_id,
        role=mapped_role(said, trusted.role_claim, trusted.role_map),
        client_id=claims.client_id,
        expires_at=claims.exp + LEEWAY_SECONDS,
        key=key,
    )
