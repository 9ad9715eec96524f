"""Signed notes (C2SP signed-note) with Ed25519: a text, an empty line, and a line for each signature.

`— <key name> <base64 of the 4-byte key id and the signature>`. A key id is the beginning of
SHA-256(name, LF, 0x01, public key). Signatures by unknown keys are ignored, of a known key they must be right.
"""

import base64
import binascii
import re
from dataclasses import dataclass
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

ED25519 = b"\x01"
MOST_NOTE_CHARACTERS = 64 * 1024
MOST_SIGNATURES = 100
_KEY_ID_BYTES = 4
_KEY_BYTES = 32
_SIGNATURE = re.compile(r"— ([^\s+]+) ([A-Za-z0-9+/=]+)")
_NAME = re.compile(r"[^\s+]{1,200}")


class NoteRefused(ValueError):
    """This is no note, or not one that the key signed; the message says why."""


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A name and the public key that goes with it."""

    name: str
    public: bytes

    def __post_init__(self) -> None:
        if not is_key_name(self.name) or len(self.public) != _KEY_BYTES:
            raise NoteRefused("a verifier key has a name without spaces and `+`, and 32 bytes of Ed25519 public key")

    @property
    def key_id(self) -> bytes:
        """The four bytes that name this key in a signature."""
        return sha256(self.name.encode() + b"\n" + ED25519 + self.public).digest()[:_KEY_ID_BYTES]

    @property
    def text(self) -> str:
        """`<name>+<key id in hex>+<base64 of 0x01 and the public key>`, as tools for notes take it."""
        return f"{self.name}+{self.key_id.hex()}+{base64.b64encode(ED25519 + self.public).decode()}"

    @classmethod
    def parse(cls, text: str) -> "VerifierKey":
        """The key of what `text` gave. Raises `NoteRefused`, also where its id is not that of its name and bytes."""
        name, _, rest = text.strip().partition("+")
        key_id, _, encoded = rest.partition("+")
        public = _decoded(encoded)
        if public[:1] != ED25519:
            raise NoteRefused("a verifier key must be of the kind Ed25519 (0x01)")
        found = cls(name, public[1:])
        if found.key_id.hex() != key_id:
            raise NoteRefused("the id of the verifier key is not that of its name and its bytes")
        return found


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A name and the private key that signs for it. The same text always gets the same signature (RFC 8032)."""

    name: str
    private: Ed25519PrivateKey

    @property
    def verifier(self) -> VerifierKey:
        """Its public half."""
        return VerifierKey(self.name, self.private.public_key().public_bytes_raw())

    def sign(self, text: str) -> str:
        """The note of a text that ends with a line feed."""
        if not text.endswith("\n") or "\n\n" in text:
            raise ValueError("the text of a note ends with a line feed and has no empty line")
        signature = self.verifier.key_id + self.private.sign(text.encode())
        return f"{text}\n— {self.name} {base64.b64encode(signature).decode()}\n"


def open_note(note: str, key: VerifierKey) -> str:
    """The text of a note that `key` signed. Raises `NoteRefused`."""
    text, lines = _parted(note)
    is_signed = False
    for line in lines:
        found = _SIGNATURE.fullmatch(line)
        if found is None:
            raise NoteRefused("a line of signature must be: — name base64")
        signed = _decoded(found[2])
        if found[1] != key.name or signed[:_KEY_ID_BYTES] != key.key_id:
            continue
        try:
            Ed25519PublicKey.from_public_bytes(key.public).verify(signed[_KEY_ID_BYTES:], text.encode())
        except InvalidSignature:
            raise NoteRefused(f"the signature of {key.name} is not right") from None
        is_signed = True
    if not is_signed:
        raise NoteRefused(f"the note bears no signature of {key.name}")
    return text


def is_key_name(name: str) -> bool:
    """Whether a key, and so a log, may be called that: 1 to 200 characters, none of them a space or `+`."""
    return _NAME.fullmatch(name) is not None


def _parted(note: str) -> tuple[str, list[str]]:
    if len(note) > MOST_NOTE_CHARACTERS:
        raise NoteRefused(f"a note has at most {MOST_NOTE_CHARACTERS} characters")
    text, parting, signatures = note.rpartition("\n\n")
    lines = signatures.split("\n")
    if not parting or not text or lines.pop() != "" or not 0 < len(lines) <= MOST_SIGNATURES:
        raise NoteRefused("a note is a text, an empty line, and lines of signatures")
    if any(ord(character) < 0x20 and character != "\n" for character in note):
        raise NoteRefused("a note has no control characters")
    return f"{text}\n", lines


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise NoteRefused("a key or a signature must be base64") from None
