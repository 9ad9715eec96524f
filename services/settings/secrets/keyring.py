"""The key-encryption keys: 32 random bytes each, in files outside the database that only their owner may read."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from libs.common.errors import ConfigError
from libs.common.keys import load_or_create_secret

KEY_BYTES = 32
_OWNER_READS = 0o400


@dataclass(frozen=True, slots=True)
class KeyEncryptionKey:
    """One key. Its id is derived from it and says nothing about it."""

    id: str
    key: bytes = field(repr=False)


class Keyring:
    """The key that wraps what is new, and those that still open what is old."""

    def __init__(self, active: KeyEncryptionKey, *older: KeyEncryptionKey) -> None:
        self.active = active
        self._known: Mapping[str, KeyEncryptionKey] = {one.id: one for one in (active, *older)}

    def find(self, key_id: str) -> KeyEncryptionKey | None:
        """The key of this id, or None."""
        return self._known.get(key_id)


def key_encryption_key(key: bytes) -> KeyEncryptionKey:
    """The key (32 bytes) with its id: 16 hexadecimal digits of a hash of it."""
    if len(key) != KEY_BYTES:
        raise ConfigError(f"a key-encryption key must have {KEY_BYTES} bytes, got {len(key)}")
    return KeyEncryptionKey(hashlib.sha256(b"reeve key-encryption key v1\0" + key).hexdigest()[:16], key)


def load_keyring(path: Path) -> Keyring:
    """The keyring whose active key lies in `path` (base64, mode 0400); made once where there is none."""
    key = load_or_create_secret(path, KEY_BYTES)
    if path.stat().st_mode & 0o777 != _OWNER_READS:
        try:
            path.chmod(_OWNER_READS)
        except OSError as error:
            raise ConfigError(f"key file {path}: its mode must be 0400 ({error.strerror})") from error
    return Keyring(key_encryption_key(key))
