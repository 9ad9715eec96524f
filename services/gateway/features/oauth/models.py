"""OAuth's own error codes, what its requests say and what its documents answer, without I/O."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar
from urllib.parse import unquote_plus

from libs.common.errors import ReeveError
from libs.common.identity import Actor, ActorType
from services.gateway.access.permissions import PERMISSIONS
from services.gateway.access.tokens import Claims

MOST_CREDENTIAL = 256


class TokenRequestRefused(ReeveError):
    """400 with one of RFC 6749's codes (5.2)."""

    status: ClassVar[int] = 400
    default_code: ClassVar[str] = "invalid_request"


class InvalidClient(ReeveError):
    """401: unknown client, wrong secret, or none given (RFC 6749, 5.2)."""

    status: ClassVar[int] = 401
    default_code: ClassVar[str] = "invalid_client"

    def __init__(self) -> None:
        super().__init__("client authentication failed", headers={"WWW-Authenticate": 'Basic realm="reeve"'})


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a client presents."""

    client_id: str
    client_secret: str


def credentials_of(authorization: str | None, fields: Mapping[str, str]) -> Credentials:
    """The client's credentials, by `client_secret_basic` or `client_secret_post` but not both (RFC 6749, 2.3)."""
    in_body = "client_secret" in fields
    if authorization is not None and in_body:
        raise TokenRequestRefused("the client may authenticate in one way only")
    if authorization is not None:
        found = _basic(authorization)
        if fields.get("client_id", found.client_id) != found.client_id:
            raise TokenRequestRefused("client_id differs from the one in the Authorization header")
    elif in_body and "client_id" in fields:
        found = Credentials(fields["client_id"], fields["client_secret"])
    else:
        raise InvalidClient
    if max(len(found.client_id), len(found.client_secret)) > MOST_CREDENTIAL or "\0" in found.client_id:
        raise InvalidClient
    return found


def check_grant(fields: Mapping[str, str]) -> None:
    """Only `client_credentials` is granted here."""
    grant_type = fields.get("grant_type")
    if not grant_type:
        raise TokenRequestRefused("grant_type is missing")
    if grant_type != "client_credentials":
        raise TokenRequestRefused("only client_credentials is granted", code="unsupported_grant_type")


def token_of(fields: Mapping[str, str]) -> str:
    """The token that a request is about (RFC 7662, 2.1; RFC 7009, 2.1). Its hint is not needed: there is one kind."""
    if not fields.get("token"):
        raise TokenRequestRefused("token is missing")
    return fields["token"]


def introspection(claims: Claims, actor: Actor) -> dict[str, object]:
    """What is told of a token that holds (RFC 7662, 2.2): what it says, and as its `scope` what holds now.

    An administrator's e-mail address is not: whoever was handed a token need not learn it.
    """
    is_admin = actor.type is ActorType.ADMIN
    told = {
        "active": True,
        "scope": actor.level.value if is_admin else " ".join(sorted(actor.permissions)),
        "token_type": "Bearer",
        **claims.model_dump(exclude={"scope", "permission_epoch"}, exclude_none=True),
        "permission_epoch": actor.permission_epoch if is_admin else claims.permission_epoch,
    }
    return {**told, "role": actor.role} if is_admin else told


def server_metadata(issuer: str) -> dict[str, object]:
    """The description of this authorization server (RFC 8414, 2)."""
    ways = ["client_secret_basic", "client_secret_post"]
    return {
        "issuer": issuer,
        "token_endpoint": f"{issuer}/api/v1/oauth/token",
        "introspection_endpoint": f"{issuer}/api/v1/oauth/introspect",
        "revocation_endpoint": f"{issuer}/api/v1/oauth/revoke",
        "jwks_uri": f"{issuer}/.well-known/jwks.json",
        "scopes_supported": list(PERMISSIONS),
        "response_types_supported": [],
        "grant_types_supported": ["client_credentials"],
        "token_endpoint_auth_methods_supported": ways,
        "introspection_endpoint_auth_methods_supported": [*ways, "bearer"],
        "revocation_endpoint_auth_methods_supported": ways,
        "service_documentation": f"{issuer}/api/v1/docs",
    }


def _basic(authorization: str) -> Credentials:
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        raise InvalidClient
    try:
        client_id, colon, secret = base64.b64decode(encoded.strip(), validate=True).decode("utf-8").partition(":")
    except (binascii.Error, UnicodeDecodeError):
        raise InvalidClient from None
    if not colon:
        raise InvalidClient
    # Both halves are form-encoded first (RFC 6749, 2.3.1).
    return Credentials(unquote_plus(client_id), unquote_plus(secret))
