"""One-time codes: which one holds when (RFC 6238), and recovery codes. Pure.

A code is six digits of SHA-1 over 30-second steps, which is what every authenticator application reads. One step
before and one after the present are taken as well (RFC 6238, 5.2), and each step once.
"""

import secrets
from base64 import b32decode, b32encode
from dataclasses import dataclass
from hashlib import sha256
from hmac import compare_digest
from typing import Literal

import pyotp

STEP_SECONDS = 30
SECRET_BYTES = 20
RECOVERY_CODES = 10
_RECOVERY_BYTES = 10
_DIGITS = 6

Proof = Literal["not_enrolled", "missing", "wrong", "code", "recovery_code"]
"""What a sign-in's second factor came to."""


@dataclass(frozen=True, slots=True)
class Factor:
    """An enrolled or waiting factor as it is kept: the secret locked, the last step that was used."""

    locked_secret: bytes
    is_confirmed: bool
    last_step: int | None


def new_secret() -> bytes:
    """160 random bits (RFC 4226, 4)."""
    return secrets.token_bytes(SECRET_BYTES)


def enrolment_uri(secret: bytes, *, account: str, issuer: str) -> str:
    """The `otpauth://totp/...` URI that an application shows as a QR code."""
    return _totp(secret).provisioning_uri(name=account, issuer_name=issuer)


def secret_text(secret: bytes) -> str:
    """The secret in base32, to be typed in where no QR code can be read."""
    return b32encode(secret).decode("ascii")


def matching_step(secret: bytes, code: str, *, now: float, last_step: int | None) -> int | None:
    """The step that `code` belongs to, if that is the present one or its neighbour and later than `last_step`.

    Every step is compared, in constant time each.
    """
    if len(code) != _DIGITS or not (code.isascii() and code.isdigit()):
        return None
    totp = _totp(secret)
    present = int(now) // STEP_SECONDS
    found = None
    for step in (present - 1, present, present + 1):
        if step >= 0 and compare_digest(totp.generate_otp(step), code) and (last_step is None or step > last_step):
            found = step
    return found


def new_recovery_codes() -> tuple[str, ...]:
    """Ten codes of 80 random bits each, in base32, in groups of four."""
    return tuple(
        _grouped(b32encode(secrets.token_bytes(_RECOVERY_BYTES)).decode("ascii")) for _ in range(RECOVERY_CODES)
    )


def recovery_hash(user_id: str, code: str) -> bytes | None:
    """What is kept of a recovery code, bound to its owner; None for what is none.

    Blanks, hyphens and case do not count. A fast hash does: nobody guesses 80 random bits.
    """
    plain = code.replace("-", "").replace(" ", "").upper()
    try:
        decoded = b32decode(plain)
    except ValueError:
        return None
    if len(decoded) != _RECOVERY_BYTES:
        return None
    return sha256(b"reeve recovery code v1\0" + user_id.encode() + b"\0" + decoded).digest()


def digits_of(code: str) -> str:
    """A one-time code without the blank that applications show in its middle."""
    return code.replace(" ", "")


def _totp(secret: bytes) -> pyotp.TOTP:
    return pyotp.TOTP(secret_text(secret), digits=_DIGITS, interval=STEP_SECONDS)


def _grouped(text: str) -> str:
    return "-".join(text[at : at + 4] for at in range(0, len(text), 4))
