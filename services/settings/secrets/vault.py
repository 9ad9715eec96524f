"""Encrypts a secret for exactly one slot, and opens it there and nowhere else.

AES-256-GCM (NIST SP 800-38D). Each secret version has a data key of its own, so a data key encrypts once; the
key-encryption key wraps data keys under random 96-bit nonces and must be replaced before 2^32 of them. What is
authenticated beside both ciphertexts names the slot and both keys, each part preceded by its length: moved to
another key, scope or version, or put under another data key, a record does not open.
"""

import secrets
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from libs.common.ids import new_id
from services.settings.models.errors import SecretUnreadable
from services.settings.secrets.keyring import Keyring

ALGORITHM = "A256GCM.v1"
GLOBAL = "global"
NONCE_BYTES = 12
KEY_BYTES = 32
_CONTEXT = b"reeve-secret/v1"


@dataclass(frozen=True, slots=True)
class Slot:
    """Where a secret belongs: the setting, the scope (`global`) and the setting's version."""

    key: str
    version: int
    scope: str = GLOBAL


@dataclass(frozen=True, slots=True)
class SecretRecord:
    """One encrypted secret, as it is stored. Both byte strings end with their 16-byte tags."""

    dek_id: str
    kek_id: str
    algorithm: str
    wrap_nonce: bytes
    wrapped_dek: bytes
    nonce: bytes
    ciphertext: bytes = field(repr=False)


class Vault:
    """Holds the keyring; keeps no secret."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring

    def holds(self, kek_id: str) -> bool:
        """Whether secrets under this key-encryption key can be opened."""
        return self._keyring.find(kek_id) is not None

    def encrypt(self, plain: bytes, slot: Slot) -> SecretRecord:
        """`plain` for this slot, under a new data key."""
        kek = self._keyring.active
        dek, dek_id = secrets.token_bytes(KEY_BYTES), new_id()
        nonce, wrap_nonce = secrets.token_bytes(NONCE_BYTES), secrets.token_bytes(NONCE_BYTES)
        return SecretRecord(
            dek_id=dek_id,
            kek_id=kek.id,
            algorithm=ALGORITHM,
            wrap_nonce=wrap_nonce,
            wrapped_dek=sealed(kek.key, wrap_nonce, dek, bound(slot, "key", dek_id, kek.id)),
            nonce=nonce,
            ciphertext=sealed(dek, nonce, plain, bound(slot, "value", dek_id)),
        )

    def decrypt(self, record: SecretRecord, slot: Slot) -> bytes:
        """The plain bytes. Raises `SecretUnreadable` when the key is missing or anything about the record differs."""
        kek = self._keyring.find(record.kek_id)
        if kek is None or record.algorithm != ALGORITHM:
            raise SecretUnreadable(slot.key)
        try:
            wrapped = bound(slot, "key", record.dek_id, record.kek_id)
            dek = opened(kek.key, record.wrap_nonce, record.wrapped_dek, wrapped)
            return opened(dek, record.nonce, record.ciphertext, bound(slot, "value", record.dek_id))
        except NotOpened:
            raise SecretUnreadable(slot.key) from None


class NotOpened(Exception):
    """Key, nonce, ciphertext or what is bound to it is not what it was."""


def sealed(key: bytes, nonce: bytes, plain: bytes, beside: bytes) -> bytes:
    """AES-256-GCM: ciphertext and its 16-byte tag. The key has 32 bytes, the nonce 12, never used twice with one key."""
    _check(key, nonce)
    return AESGCM(key).encrypt(nonce, plain, beside)


def opened(key: bytes, nonce: bytes, ciphertext: bytes, beside: bytes) -> bytes:
    """What `sealed` was given. Raises `NotOpened`."""
    try:
        _check(key, nonce)
        return AESGCM(key).decrypt(nonce, ciphertext, beside)
    except (InvalidTag, ValueError):
        raise NotOpened from None


def bound(slot: Slot, purpose: str, *key_ids: str) -> bytes:
    """What is authenticated beside a ciphertext: every part after its length in four bytes."""
    parts = (purpose, slot.key, slot.scope, str(slot.version), ALGORITHM, *key_ids)
    return b"".join(len(part).to_bytes(4) + part for part in (_CONTEXT, *(text.encode() for text in parts)))


def _check(key: bytes, nonce: bytes) -> None:
    if len(key) != KEY_BYTES or len(nonce) != NONCE_BYTES:
        raise ValueError(f"a key must have {KEY_BYTES} bytes and a nonce {NONCE_BYTES}")
