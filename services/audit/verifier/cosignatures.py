"""Cosignatures of witnesses under a signed head: C2SP tlog-cosignature with Ed25519 (signature type 0x04).

The signature in such a line is a time, 8 bytes of seconds since 1970, and an Ed25519 signature of `cosignature/v1`, `time <seconds>`
and the note's text. Lines of witnesses that were not given, and of other types, are ignored.
"""

from collections.abc import Sequence
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from services.audit.verifier.notes import NotANote, VerifierKey, parts_of, signature_of

COSIGNER = 0x04
_STAMP = 8
_LENGTH = _STAMP + 64


class Cosigned(NamedTuple):
    """A witness that cosigned a head, and when, in seconds since 1970."""

    witness: str
    time: int


def cosignatures_of(note: str, witnesses: Sequence[VerifierKey]) -> tuple[list[Cosigned], list[str]]:
    """Which of the witnesses cosigned a note, the newest of each, and what is wrong with lines that claim to be of one."""
    if not witnesses:
        return [], []
    found: list[Cosigned] = []
    flaws: list[str] = []
    try:
        body, lines = parts_of(note)
        for key in witnesses:
            signatures = [one for line in lines if (one := signature_of(line, key)) is not None]
            times = [_time_of(body, one, key) for one in signatures]
            if None in times:
                flaws.append(f"the cosignature of {key.name}+{key.key_id.hex()} does not verify")
            elif times:
                found.append(Cosigned(key.name, max(time for time in times if time is not None)))
    except NotANote:
        return [], []  # whoever opens the note itself says so
    return found, flaws


def _time_of(body: str, signature: bytes, key: VerifierKey) -> int | None:
    """When a cosignature was made, if it verifies."""
    time = int.from_bytes(signature[:_STAMP], "big")
    if len(signature) != _LENGTH or not 0 < time < 2**63:
        return None
    try:
        message = f"cosignature/v1\ntime {time}\n{body}".encode()
        Ed25519PublicKey.from_public_bytes(key.public).verify(signature[_STAMP:], message)
    except (InvalidSignature, ValueError):
        return None
    return time
