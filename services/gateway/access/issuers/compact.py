"""Signed tokens as text (RFC 7515, 7.1), read strictly: one spelling, no header member that would choose the key."""

import base64
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError, UnsupportedAlgorithmError
from joserfc.jws import JWSRegistry

from libs.common.errors import BadRequest
from libs.common.web.body import parse_json
from services.gateway.access.issuers.keys import KEY_ID, VerifyingKey
from services.gateway.access.issuers.models import BadToken

MOST_TOKEN_CHARACTERS = 8192

_COMPACT = re.compile(r"([A-Za-z0-9_-]{2,2048})\.([A-Za-z0-9_-]{2,8192})\.([A-Za-z0-9_-]{2,2048})")
_REFUSED_MEMBERS = frozenset({"b64", "crit", "cty", "enc", "jku", "jwk", "x5c", "x5u", "zip"})
"""They bring or point to a key, ask for what is not understood here, or nest another token."""


@dataclass(frozen=True, slots=True)
class Compact:
    """A token that can be read. Nothing in it is believed before `verify`."""

    text: str
    algorithm: str
    kid: str
    type: str | None
    claims: dict[str, Any]


def looks_signed(text: str) -> bool:
    """Whether a token has the form of a JWS at all: three parts, the first of them a JSON object's beginning."""
    return text.count(".") == 2 and text.startswith("e")


def read_compact(text: str) -> Compact:
    """Header and claims of a JWS in compact form, at most 8 KiB of unpadded base64url. Raises `BadToken`."""
    parts = _COMPACT.fullmatch(text) if len(text) <= MOST_TOKEN_CHARACTERS else None
    if parts is None:
        raise BadToken("not a compact JWS of at most 8 KiB")
    header = _object(_decoded(parts[1]), "header")
    _decoded(parts[3])
    if not _REFUSED_MEMBERS.isdisjoint(header):
        raise BadToken(f"header has {sorted(_REFUSED_MEMBERS & header.keys())[0]}")
    algorithm, kid, type_ = header.get("alg"), header.get("kid"), header.get("typ")
    if not isinstance(algorithm, str) or not isinstance(kid, str) or not KEY_ID.fullmatch(kid):
        raise BadToken("header without a usable alg and kid")
    if type_ is not None and not isinstance(type_, str):
        raise BadToken("header with a typ that is no text")
    return Compact(text, algorithm, kid, type_, _object(_decoded(parts[2]), "claims"))


def verify(compact: Compact, key: VerifyingKey, *, allowed: Collection[str]) -> None:
    """Raise `BadToken` unless `key` signed it by an algorithm that is allowed and is the key's own."""
    check_signature(compact.text, key, algorithm=compact.algorithm, allowed=allowed)


def check_signature(text: str, key: VerifyingKey, *, algorithm: str, allowed: Collection[str]) -> bytes:
    """The signed bytes. Raises `BadToken` (RFC 8725, 3.1 and 3.2: the verifier chooses, the token only names)."""
    if algorithm not in allowed or not key.serves(algorithm):
        raise BadToken(f"algorithm {algorithm[:20]!r} is not for this key")
    try:
        return jws.deserialize_compact(text, key.key, registry=_Chosen(algorithm)).payload
    except (JoseError, ValueError) as error:
        raise BadToken("the signature does not hold") from error


class _Chosen(JWSRegistry):
    """Knows the one algorithm that was chosen. Header members that nobody here understands ask for nothing."""

    max_header_length = 2048

    def __init__(self, algorithm: str) -> None:
        super().__init__(strict_check_header=False)
        self._algorithm = algorithm

    def get_alg(self, name: str):  # type: ignore[no-untyped-def]
        if name != self._algorithm:
            raise UnsupportedAlgorithmError(f"algorithm {name!r} is not the chosen one")
        return self.algorithms[name]


def _decoded(part: str) -> bytes:
    try:
        decoded = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except ValueError as error:
        raise BadToken("not base64url") from error
    # The bits that a last character has to spare must be zero, or one token would have several texts.
    if base64.urlsafe_b64encode(decoded).rstrip(b"=") != part.encode():
        raise BadToken("not canonical base64url")
    return decoded


def _object(content: bytes, what: str) -> dict[str, Any]:
    try:
        found = parse_json(content)
    except BadRequest as error:
        raise BadToken(f"{what}: {error.message}") from error
    if not isinstance(found, dict):
        raise BadToken(f"{what}: not an object")
    return found
