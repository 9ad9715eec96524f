"""An issuer's public keys (RFC 7517), read strictly: a set with a poisoned key is refused whole."""

import base64
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey

from libs.common.errors import BadRequest
from libs.common.web.body import parse_json

MOST_KEYS_OF_ISSUER = 32
KEY_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
LEAST_RSA_BITS, MOST_RSA_BITS = 2048, 8192
RSA_EXPONENT = 65537

_BASE64URL = re.compile(r"[A-Za-z0-9_-]{1,4096}")
_PUBLIC = frozenset({"crv", "e", "kty", "n", "x", "y"})
_PRIVATE = frozenset({"d", "dp", "dq", "k", "oth", "p", "q", "qi"})
_ALGORITHMS: Mapping[tuple[str, str], frozenset[str]] = {
    ("RSA", ""): frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}),
    ("EC", "P-256"): frozenset({"ES256"}),
    ("EC", "P-384"): frozenset({"ES384"}),
    ("EC", "P-521"): frozenset({"ES512"}),
    ("OKP", "Ed25519"): frozenset({"EdDSA", "Ed25519"}),
}
_KINDS: Mapping[str, type[RSAKey] | type[ECKey] | type[OKPKey]] = {"RSA": RSAKey, "EC": ECKey, "OKP": OKPKey}

# Moduli of the Infineon library (CVE-2017-15361): powers of 65537 modulo each of these primes.
_ROCA_PRIMES = (11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157)
_ROCA_RESIDUES = {prime: {pow(RSA_EXPONENT, power, prime) for power in range(prime)} for prime in _ROCA_PRIMES}


class BadKeys(Exception):
    """A key set that is not used; the one before it stays."""


@dataclass(frozen=True, slots=True)
class VerifyingKey:
    """A public key and the algorithms it is for."""

    kid: str
    key: RSAKey | ECKey | OKPKey
    algorithms: frozenset[str]
    thumbprint: str
    """SHA-256 of the key itself (RFC 7638): the same name with another key is another key."""

    def serves(self, algorithm: str) -> bool:
        """Whether a signature by this algorithm may be this key's."""
        return algorithm in self.algorithms


def read_keys(body: bytes) -> dict[str, VerifyingKey]:
    """The keys of a JWK set by their `kid`. Raises `BadKeys`.

    Refused whole: more than 32 keys, a `kid` that is there twice, a shared or a private key. Left out: keys for
    something else than signatures, without a usable `kid`, of another kind, or too weak.
    """
    try:
        found = parse_json(body)
    except BadRequest as error:
        raise BadKeys(error.message) from error
    listed = found.get("keys") if isinstance(found, dict) else None
    if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
        raise BadKeys("not a JWK set")
    if len(listed) > MOST_KEYS_OF_ISSUER:
        raise BadKeys(f"{len(listed)} keys; at most {MOST_KEYS_OF_ISSUER} are taken")
    if any(one.get("kty") == "oct" or not _PRIVATE.isdisjoint(one) for one in listed):
        raise BadKeys("a shared or private key is among the keys")
    twice = [kid for kid, count in Counter(str(one["kid"]) for one in listed if "kid" in one).items() if count > 1]
    if twice:
        raise BadKeys(f"kid {twice[0][:128]!r} is there twice")
    usable = {key.kid: key for one in listed if (key := _usable(one)) is not None}
    if not usable:
        raise BadKeys("no key among them can verify a signature")
    return usable


def _usable(jwk: dict[str, Any]) -> VerifyingKey | None:
    kid, kty, crv = jwk.get("kid"), jwk.get("kty"), jwk.get("crv", "")
    if not isinstance(kid, str) or not KEY_ID.fullmatch(kid) or jwk.get("use", "sig") != "sig":
        return None
    key_ops = jwk.get("key_ops", ["verify"])
    if not isinstance(key_ops, list) or "verify" not in key_ops:
        return None
    if not isinstance(kty, str) or not isinstance(crv, str):
        return None
    algorithms = _ALGORITHMS.get((kty, crv), frozenset())
    if "alg" in jwk:
        algorithms = algorithms.intersection([str(jwk["alg"])])
    if not algorithms or (kty == "RSA" and not _is_strong(jwk)):
        return None
    try:
        key = _KINDS[kty].import_key({name: value for name, value in jwk.items() if name in _PUBLIC})
    except (JoseError, ValueError, TypeError):
        return None
    return VerifyingKey(kid, key, algorithms, key.thumbprint())


def _is_strong(jwk: Mapping[str, Any]) -> bool:
    """Judged before the key is made: a modulus of any size would be taken by then."""
    modulus, exponent = _number(jwk.get("n")), _number(jwk.get("e"))
    if not LEAST_RSA_BITS <= modulus.bit_length() <= MOST_RSA_BITS or exponent != RSA_EXPONENT:
        return False
    return any(modulus % prime not in residues for prime, residues in _ROCA_RESIDUES.items())


def _number(text: object) -> int:
    """A Base64urlUInt (RFC 7518, 2); 0 for anything else."""
    if not isinstance(text, str) or not _BASE64URL.fullmatch(text) or len(text) % 4 == 1:
        return 0
    return int.from_bytes(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), "big")
