"""Sealing: a value on its way to the one service that may read it (libsodium sealed box).

Anyone with the public key can seal; only the holder of the private key can open, and not even the
sender can afterwards. A sealed box says nothing about who sealed it: that is the broker's to vouch for.
"""

import base64
import binascii
from functools import lru_cache

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


@lru_cache(maxsize=8)
def _box(public_key: bytes) -> "SealedBox[PublicKey]":
    return SealedBox(PublicKey(public_key))
