"""What an issuer publishes about itself (OpenID Connect Discovery 1.0, 4; RFC 8414, 3): pure."""

from collections.abc import Collection
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from libs.common.errors import BadRequest
from libs.common.web.body import parse_json
from services.gateway.access.issuers.models import origin_of

Url = Annotated[str, StringConstraints(max_length=2048)]
Names = Annotated[list[str], Field(max_length=200)]


class BadMetadata(Exception):
    """An issuer's document that is not used, and why, for the operator."""


class Metadata(BaseModel):
    """As much of the document as is used here."""

    model_config = ConfigDict(frozen=True)

    issuer: str
    jwks_uri: Url
    authorization_endpoint: Url | None = None
    token_endpoint: Url | None = None
    userinfo_endpoint: Url | None = None
    introspection_endpoint: Url | None = None
    token_endpoint_auth_methods_supported: Names = ["client_secret_basic"]
    authorization_response_iss_parameter_supported: bool = False


def discovery_urls(issuer: str) -> tuple[str, str]:
    """Where the document may be: below the issuer (Discovery, 4.1), else before its path (RFC 8414, 3.1)."""
    parts = urlsplit(issuer)
    path = parts.path.rstrip("/")
    origin = f"{parts.scheme}://{parts.netloc}"
    return (
        f"{origin}{path}/.well-known/openid-configuration",
        f"{origin}/.well-known/oauth-authorization-server{path}",
    )


def read_metadata(body: bytes, *, issuer: str, origins: Collection[str]) -> Metadata:
    """The document of `issuer`. Raises `BadMetadata` when it speaks for another one, or leads to another origin."""
    try:
        found = Metadata.model_validate(parse_json(body))
    except BadRequest as error:
        raise BadMetadata(error.message) from error
    except ValidationError as error:
        wrong = error.errors(include_input=False)[0]
        raise BadMetadata(f"{'.'.join(str(part) for part in wrong['loc'])}: {wrong['msg']}") from error
    if found.issuer != issuer:
        raise BadMetadata(f"it is configured as {issuer} and calls itself {found.issuer[:200]!r}")
    for name in (
        "jwks_uri", "authorization_endpoint", "token_endpoint", "userinfo_endpoint", "introspection_endpoint",
    ):  # fmt: skip
        url = getattr(found, name)
        if url is not None and _origin(url) not in origins:
            raise BadMetadata(f"its {name} is at {_origin(url)}, which is not among its origins")
    return found


def _origin(url: str) -> str:
    try:
        return origin_of(url)
    except ValueError:
        return "no URL"
