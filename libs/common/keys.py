"""Key files: made once with mode 0600 in a keys directory, their public halves beside them as `<name>.pub`.

Two processes that start at once agree on one key: the file appears whole or not at all, and whoever
comes second reads the first one's.
"""

import base64
import binascii
import os
import secrets
import tempfile
from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from nacl.public import PrivateKey

from libs.common.errors import ConfigError

_FORBIDDEN_MODE = 0o037


def load_or_create_ed25519(path: Path) -> Ed25519PrivateKey:
    """The Ed25519 signing key in `path` (PEM, PKCS #8); writes its public half (PEM) beside it."""
    pem = _load_or_create(path, _new_ed25519)
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except ValueError as error:
        raise ConfigError(f"key file {path}: must be an Ed25519 private key in PEM") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(f"key file {path}: must be an Ed25519 private key in PEM")
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    _publish(path, public)
    return key


def load_ed25519_public(path: Path) -> Ed25519PublicKey:
    """The Ed25519 public key in `path` (PEM), as `load_or_create_ed25519` leaves it in `<name>.pub`."""
    try:
        key = serialization.load_pem_public_key(_read(path))
    except ValueError as error:
        raise ConfigError(f"key file {path}: must be an Ed25519 public key in PEM") from error
    if not isinstance(key, Ed25519PublicKey):
        raise ConfigError(f"key file {path}: must be an Ed25519 public key in PEM")
    return key


def load_or_create_x25519(path: Path) -> bytes:
    """The 32-byte X25519 private key in `path` (base64); writes its public half (base64) beside it."""
    private = _decode(path, _load_or_create(path, lambda: _encode(bytes(PrivateKey.generate()))), 32)
    _publish(path, _encode(bytes(PrivateKey(private).public_key)))
    return private


def load_x25519_public(path: Path) -> bytes:
    """The 32-byte X25519 public key in `path` (base64)."""
    return _decode(path, _read(path), 32)


def load_or_create_secret(path: Path, size: int = 32) -> bytes:
    """`size` random bytes kept in `path` (base64)."""
    return _decode(path, _load_or_create(path, lambda: _encode(secrets.token_bytes(size))), size)


def public_path(path: Path) -> Path:
    """Where the public half of the private key file `path` lies."""
    return path.with_name(f"{path.name}.pub")


def _load_or_create(path: Path, make: Callable[[], bytes]) -> bytes:
    if not path.exists():
        _write_once(path, make(), mode=0o600)
    content = _read(path)
    if path.stat().st_mode & _FORBIDDEN_MODE:
        raise ConfigError(f"key file {path}: others may read or change it; run chmod 600 on it")
    return content


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"key file {path}: cannot be read ({error.strerror})") from error


def _publish(path: Path, public: bytes) -> None:
    target = public_path(path)
    if target.exists() and target.read_bytes() == public:
        return
    target.unlink(missing_ok=True)
    _write_once(target, public, mode=0o644)


def _write_once(path: Path, content: bytes, *, mode: int) -> None:
    """Write beside the target and link into place: a reader never sees half a key, and the first writer wins."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            Path(name).chmod(mode)
            os.link(name, path)
        except FileExistsError:
            pass  # Another process was first: its key holds.
        finally:
            Path(name).unlink()
    except OSError as error:
        raise ConfigError(f"key file {path}: cannot be written ({error.strerror})") from error


def _new_ed25519() -> bytes:
    return Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _encode(key: bytes) -> bytes:
    return base64.b64encode(key) + b"\n"


def _decode(path: Path, content: bytes, size: int) -> bytes:
    try:
        key = base64.b64decode(content.strip(), validate=True)
    except binascii.Error as error:
        raise ConfigError(f"key file {path}: must hold base64") from error
    if len(key) != size:
        raise ConfigError(f"key file {path}: must hold {size} bytes, holds {len(key)}")
    return key
