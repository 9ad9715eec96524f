"""The keys that sign access tokens: which one signs now, which still verify, and what is published of them. Pure.

A new key is published some time before it signs, and an old one verifies until the last token that it
signed has ended: a change of keys refuses nobody.
"""

from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from joserfc.jwk import OKPKey

ALGORITHM = "EdDSA"
MOST_KEYS = 16
"""Keys that verify at a time."""


class NoSigningKey(Exception):
    """None of the keys may sign now."""


@dataclass(frozen=True, slots=True)
class RingKey:
    """One key. `signs_from` and `verifies_until` are seconds since 1970; `verifies_until` None is for ever."""

    kid: str
    jwk: OKPKey
    can_sign: bool
    signs_from: float = 0.0
    verifies_until: float | None = None

    def verifies(self, now: float) -> bool:
        """Whether tokens of this key are believed now."""
        return self.verifies_until is None or now < self.verifies_until


@dataclass(frozen=True, slots=True)
class KeyRing:
    """All keys of the gateway at a moment, in any order."""

    keys: tuple[RingKey, ...]

    def signing(self, now: float) -> RingKey:
        """The key whose turn to sign came last, else the one whose turn comes next. Raises `NoSigningKey`."""
        able = [key for key in self.keys if key.can_sign and key.verifies(now)]
        if not able:
            raise NoSigningKey
        return max(able, key=lambda key: (key.signs_from <= now, -abs(now - key.signs_from), key.kid))

    def find(self, kid: str, now: float) -> RingKey | None:
        """The key of this identifier, if its tokens are believed now."""
        return next((key for key in self.keys if key.kid == kid and key.verifies(now)), None)

    def published(self, now: float) -> list[dict[str, str]]:
        """The public halves as members of a JWK set (RFC 7517, 5; RFC 8037, 2), the newest first."""
        shown = sorted((key for key in self.keys if key.verifies(now)), key=lambda key: -key.signs_from)
        return [
            {
                "kty": "OKP", "crv": "Ed25519", "x": str(key.jwk.as_dict(private=False)["x"]), "kid": key.kid,
                "use": "sig", "alg": ALGORITHM,
            }
            for key in shown
        ]  # fmt: skip


def private_key(raw: bytes, *, signs_from: float = 0.0, verifies_until: float | None = None) -> RingKey:
    """A key that signs and verifies, from its 32 bytes (RFC 8032, 5.1.5)."""
    pem = Ed25519PrivateKey.from_private_bytes(raw).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    jwk = OKPKey.import_key(pem)
    return RingKey(jwk.thumbprint(), jwk, can_sign=True, signs_from=signs_from, verifies_until=verifies_until)


def public_key(raw: bytes, *, signs_from: float = 0.0, verifies_until: float | None = None) -> RingKey:
    """A key that only verifies, from the 32 bytes of its public half."""
    pem = Ed25519PublicKey.from_public_bytes(raw).public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    jwk = OKPKey.import_key(pem)
    return RingKey(jwk.thumbprint(), jwk, can_sign=False, signs_from=signs_from, verifies_until=verifies_until)


def ring_of(key: Ed25519PrivateKey) -> KeyRing:
    """A ring of one key, which signs and verifies for ever."""
    return KeyRing((private_key(raw_private(key)),))


def raw_private(key: Ed25519PrivateKey) -> bytes:
    """The 32 bytes of a private key."""
    return key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())


def raw_public(key: Ed25519PrivateKey) -> bytes:
    """The 32 bytes of its public half."""
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
