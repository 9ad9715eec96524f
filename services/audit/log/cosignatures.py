"""Cosignatures (C2SP tlog-cosignature, Ed25519): a witness's word that a checkpoint continues every one that it saw before.

A cosignature is one more line of a signed note, by a key of the type 0x04. Its signature is a time, eight bytes of POSIX seconds,
and then Ed25519 over three parts: `cosignature/v1`, `time <seconds>`, and the text of the note.
"""

import base64
from collections.abc import Iterable
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from services.audit.log.notes import NoteRefused, is_key_name, key_id_of, key_text, parse_key, signature_of

COSIGNER = b"\x04"
MOST_TIME = 2**63 - 1
_KEY_BYTES = 32
_TIME_BYTES = 8


@dataclass(frozen=True, slots=True)
class WitnessKey:
    """A witness's name and the public key that goes with it."""

    name: str
    public: bytes

    def __post_init__(self) -> None:
        if not is_key_name(self.name) or len(self.public) != _KEY_BYTES:
            raise NoteRefused("a witness's key has a name without spaces and `+`, and 32 bytes of Ed25519 public key")

    @property
    def key_id(self) -> bytes:
        """The four bytes that name this key in a cosignature."""
        return key_id_of(self.name, COSIGNER, self.public)

    @property
    def text(self) -> str:
        """`<name>+<key id in hex>+<base64 of 0x04 and the public key>`."""
        return key_text(self.name, COSIGNER, self.public)

    @classmethod
    def parse(cls, text: str) -> "WitnessKey":
        """The key of what `text` gave. Raises `NoteRefused`; a log's own key, of the type 0x01, is refused as well."""
        return cls(*parse_key(text, COSIGNER, called="Ed25519 cosignatures (0x04)"))


@dataclass(frozen=True, slots=True)
class Cosignature:
    """When a witness cosigned, in POSIX seconds, and the line that says so, with its line feed."""

    time: int
    line: str


def cosign(name: str, private: Ed25519PrivateKey, text: str, *, time: int) -> Cosignature:
    """The cosignature of a note's text, which ends with a line feed, at `time`, 1 to 2^63 - 1. Raises `ValueError`."""
    if not 0 < time <= MOST_TIME:
        raise ValueError(f"the time of a cosignature is 1 to {MOST_TIME}, not {time}")
    key_id = key_id_of(name, COSIGNER, private.public_key().public_bytes_raw())
    signed = key_id + time.to_bytes(_TIME_BYTES) + private.sign(message(text, time=time))
    return Cosignature(time, f"— {name} {base64.b64encode(signed).decode()}\n")


def find_cosignature(text: str, lines: Iterable[str], key: WitnessKey) -> Cosignature | None:
    """The newest cosignature of a note's text by `key` among lines of signatures, or None.

    Lines of other names, keys and types are ignored. Raises `NoteRefused` for one that is no line of signature, and where one
    that names this key does not verify.
    """
    found: list[Cosignature] = []
    for line in lines:
        name, key_id, signature = signature_of(line)
        if (name, key_id) == (key.name, key.key_id):
            found.append(Cosignature(_time_of(text, signature, key), f"{line}\n"))
    return max(found, key=lambda one: one.time, default=None)


def message(text: str, *, time: int) -> bytes:
    """The bytes that a witness signs."""
    return f"cosignature/v1\ntime {time}\n{text}".encode()


def _time_of(text: str, signature: bytes, key: WitnessKey) -> int:
    """The time in a cosignature that verifies. Raises `NoteRefused`."""
    time = int.from_bytes(signature[:_TIME_BYTES])
    try:
        Ed25519PublicKey.from_public_bytes(key.public).verify(signature[_TIME_BYTES:], message(text, time=time))
    except InvalidSignature:
        raise NoteRefused(f"the cosignature of {key.name} is not right") from None
    if not 0 < time <= MOST_TIME:
        raise NoteRefused(f"the cosignature of {key.name} names no time")
    return time
