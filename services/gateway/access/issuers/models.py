"""What is configured about a trusted issuer, and what one of its tokens comes to: pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit
from uuid import NAMESPACE_URL, uuid5

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, StringConstraints, model_validator

from services.gateway.access.permissions import Role, RoleName

MOST_ISSUERS = 32
MOST_SUBJECT_CHARACTERS = 255

Algorithm = Literal[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519",
]  # fmt: skip
"""Signatures by a public key. `none` and every algorithm with a shared key cannot even be configured."""

DEFAULT_ALGORITHMS: tuple[Algorithm, ...] = ("RS256", "ES256", "EdDSA")


class BadToken(Exception):
    """A token does not hold. The text says why, for the log; callers are told no more than that."""


class IssuerUnavailable(Exception):
    """Nothing can be said about a token: its issuer does not answer, or answers what cannot be used."""


def issuer_url(text: str) -> str:
    """An issuer identifier (RFC 8414, 2): https (http is judged where addresses are known), no query, no fragment."""
    parts = urlsplit(text)
    if parts.scheme not in ("https", "http") or not parts.hostname or parts.username or parts.password:
        raise ValueError("must be an https URL without a user")
    if "?" in text or "#" in text or not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("must be a URL without query and fragment")
    return text


def origin_of(url: str) -> str:
    """Scheme, host and port of a URL (RFC 6454, 4), its default port written out."""
    parts = urlsplit(url)
    port = parts.port or {"https": 443, "http": 80}.get(parts.scheme, 0)
    return f"{parts.scheme}://{(parts.hostname or '').lower()}:{port}"


def _origin(text: str) -> str:
    if urlsplit(issuer_url(text)).path not in ("", "/"):
        raise ValueError("must be an origin: scheme, host and port")
    return text


IssuerUrl = Annotated[str, StringConstraints(max_length=512), AfterValidator(issuer_url)]
Origins = Annotated[tuple[Annotated[str, AfterValidator(_origin)], ...], Field(max_length=8)]
RoleMap = Annotated[Mapping[str, RoleName], Field(max_length=200)]
"""Values of the role claim, and the role that each one gives: built in or custom. Whether there is such a role is
another question, which is asked whenever it is given."""


class TrustedIssuer(BaseModel):
    """Who may vouch for callers, for which audience, by which algorithms, and what its claims mean here."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    issuer: IssuerUrl
    audience: Annotated[str, StringConstraints(min_length=1, max_length=512)]
    algorithms: Annotated[tuple[Algorithm, ...], Field(min_length=1)] = DEFAULT_ALGORITHMS
    role_claim: Annotated[str, StringConstraints(min_length=1, max_length=255)] = "roles"
    role_map: RoleMap = {}
    introspection_endpoint: IssuerUrl | None = None
    client_id: Annotated[str, StringConstraints(min_length=1, max_length=256)] | None = None
    client_secret: SecretStr | None = None
    origins: Origins = ()

    @model_validator(mode="after")
    def _introspects_with_credentials(self) -> Self:
        if (self.client_id is None) != (self.client_secret is None):
            raise ValueError("client_id and client_secret go together")
        if self.introspection_endpoint is not None and self.client_id is None:
            raise ValueError("introspection_endpoint needs client_id and client_secret")
        return self

    @property
    def allowed_origins(self) -> frozenset[str]:
        """Where its endpoints may be: at its own origin, and at those that the operator named."""
        return frozenset(origin_of(url) for url in (self.issuer, *self.origins))


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom a token of another issuer stands for: nobody but (`issuer`, `subject`) together, and until when."""

    issuer: str
    subject: str
    role: str | None
    client_id: str
    expires_at: float
    key: str | None
    """The thumbprint of the key that vouched for it; None when the issuer itself was asked."""

    @property
    def name(self) -> str:
        """How the audit log names it; an issuer has no `#`, so two identities never share a name."""
        return f"{self.issuer}#{self.subject}"

    @property
    def id(self) -> str:
        """A UUID that is always the same for this identity (RFC 9562, 5.5), for as long as it has no account."""
        return external_id(self.issuer, self.subject)


def external_id(issuer: str, subject: str) -> str:
    """The UUID of an identity, made of nothing but both."""
    return str(uuid5(NAMESPACE_URL, f"{issuer}#{subject}"))


def mapped_role(claims: Mapping[str, Any], claim: str, roles: Mapping[str, str]) -> str | None:
    """The role that the values of a claim give; None when none does. Of several it is the most powerful built-in one,
    else the custom one that `roles` names first.

    `claim` is the name of a member, or a path of them (`realm_access.roles`). A value is a text, the words of a
    text (as in `scope`), or a list of texts; anything else gives nothing.
    """
    values = _texts(_member(claims, claim))
    given = [role for value, role in roles.items() if value in values]
    return next((role.value for role in Role if role in given), next(iter(given), None))


def _member(claims: Mapping[str, Any], path: str) -> object:
    if path in claims:
        return claims[path]
    found: object = claims
    for name in path.split("."):
        if not isinstance(found, Mapping):
            return None
        found = found.get(name)
    return found


def _texts(value: object) -> set[str]:
    if isinstance(value, str):
        return {value, *value.split()}
    return {one for one in value if isinstance(one, str)} if isinstance(value, list) else set()
