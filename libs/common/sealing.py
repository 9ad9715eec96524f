"""Sealing: a value on its way to the one service that may read it (libsodium sealed box).

Anyone with the public key can seal; only the holder of the private key can open, and not even the
sender can afterwards. A sealed box says nothing about who sealed it: that is the broker's to vouch for.
A `Locker` is for what a service keeps for itself and no reader of its database may read.
"""

import base64
import binascii
import hashlib
import hmac
import secrets
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from nacl.exceptions import CryptoError
from nacl.public import PrivateKey, PublicKey, SealedBox


class NotSealed(ValueError):
    """This text was not sealed to our key, or it was changed. The message never holds the content."""


def seal(public_key: bytes, plain: bytes) -> str:
    """`plain` for the owner of `public_key` (32 bytes, X25519) alone, as base64; 48 bytes longer before that."""
    return base64.b64encode(_box(public_key).encrypt(plain)).decode("ascii")


class Unsealer:
    """Opens what was sealed to one private key (32 bytes, X25519)."""

    def __init__(self, private_key: bytes) -> None:
        key = PrivateKey(private_key)
        self.public_key = bytes(key.public_key)
        self._box = SealedBox(key)

    def unseal(self, sealed: str) -> bytes:
        """The plain bytes. Raises `NotSealed`."""
        try:
            return self._box.decrypt(base64.b64decode(sealed, validate=True))
        except (binascii.Error, CryptoError, ValueError, TypeError):
            # Without a cause: a traceback must not carry the content into a log.
            raise NotSealed("the value was not sealed to this service's key") from None


class Locker:
    """Encrypts with one secret (32 bytes): AES-256-GCM under random 96-bit nonces, good for 2^32 values.

    Text that was locked opens only with the very `bound` it was locked with, and unchanged.
    """

    _NONCE_BYTES = 12

    def __init__(self, secret: bytes) -> None:
        self._cipher = AESGCM(self._derived(secret, b"reeve locker encrypt v1"))
        self._mac_key = self._derived(secret, b"reeve locker fingerprint v1")

    def lock(self, plain: bytes, *, bound: bytes) -> bytes:
        """`plain` encrypted and bound to `bound`: 28 bytes longer."""
        nonce = secrets.token_bytes(self._NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, plain, bound)

    def unlock(self, locked: bytes, *, bound: bytes) -> bytes:
        """The plain bytes. Raises `NotSealed`."""
        try:
            return self._cipher.decrypt(locked[: self._NONCE_BYTES], locked[self._NONCE_BYTES :], bound)
        except (InvalidTag, ValueError):
            raise NotSealed("the value was not locked with this key for this place, or it was changed") from None

    def fingerprint(self, text: bytes) -> bytes:
        """32 bytes that are equal for equal text, and say nothing of it to whoever lacks the secret (HMAC-SHA-256)."""
        return hmac.digest(self._mac_key, text, hashlib.sha256)

    @staticmethod
    def _derived(secret: bytes, purpose: bytes) -> bytes:
        return hmac.digest(secret, purpose, hashlib.sha256)


@lru_cache(maxsize=8)
def _box(public_key: bytes) -> "SealedBox[PublicKey]":
    return SealedBox(PublicKey(public_key))
