"""OAuth's own error codes and what a token request says (RFC 6749), without I/O."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar
from urllib.parse import unquote_plus

from libs.common.errors import ReeveError

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
