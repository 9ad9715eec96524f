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
MOST_NOTE_CHARACTERS = 128 * 1024
"""Room for sixteen signatures of ML-DSA-44, which C2SP asks every reader to take."""
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
        return key_id_of(self.name, ED25519, self.public)

    @property
    def text(self) -> str:
        """`<name>+<key id in hex>+<base64 of 0x01 and the public key>`, as tools for notes take it."""
        return key_text(self.name, ED25519, self.public)

    @classmethod
    def parse(cls, text: str) -> "VerifierKey":
        """The key of what `text` gave. Raises `NoteRefused`, also where its id is not that of its name and bytes."""
        return cls(*parse_key(text, ED25519, called="Ed25519 (0x01)"))


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
    text, lines = parted(note)
    is_signed = False
    for line in lines:
        name, key_id, signature = signature_of(line)
        if (name, key_id) != (key.name, key.key_id):
            continue
        try:
            Ed25519PublicKey.from_public_bytes(key.public).verify(signature, text.encode())
        except InvalidSignature:
            raise NoteRefused(f"the signature of {key.name} is not right") from None
        is_signed = True
    if not is_signed:
        raise NoteRefused(f"the note bears no signature of {key.name}")
    return text


def is_key_name(name: str) -> bool:
    """Whether a key, and so a log, may be called that: 1 to 200 characters, none of them a space or `+`."""
    return _NAME.fullmatch(name) is not None


def key_id_of(name: str, kind: bytes, public: bytes) -> bytes:
    """The four bytes that name a key in its signatures; `kind` is the byte of its type (signed-note, Signature types)."""
    return sha256(name.encode() + b"\n" + kind + public).digest()[:_KEY_ID_BYTES]


def key_text(name: str, kind: bytes, public: bytes) -> str:
    """`<name>+<key id in hex>+<base64 of type and public key>`."""
    return f"{name}+{key_id_of(name, kind, public).hex()}+{base64.b64encode(kind + public).decode()}"


def parse_key(text: str, kind: bytes, *, called: str) -> tuple[str, bytes]:
    """Name and public key of what `key_text` gave; `called` names the kind. Raises `NoteRefused`."""
    name, _, rest = text.strip().partition("+")
    key_id, _, encoded = rest.partition("+")
    typed = _decoded(encoded)
    if typed[:1] != kind:
        raise NoteRefused(f"a verifier key must be of the kind {called}")
    if key_id_of(name, kind, typed[1:]).hex() != key_id:
        raise NoteRefused("the id of the verifier key is not that of its name and its bytes")
    return name, typed[1:]


def parted(note: str) -> tuple[str, list[str]]:
    """The text of a note and its lines of signatures, unverified. Raises `NoteRefused`."""
    if len(note) > MOST_NOTE_CHARACTERS:
        raise NoteRefused(f"a note has at most {MOST_NOTE_CHARACTERS} characters")
    text, parting, signatures = note.rpartition("\n\n")
    lines = signatures.split("\n")
    if not parting or not text or lines.pop() != "" or not 0 < len(lines) <= MOST_SIGNATURES:
        raise NoteRefused("a note is a text, an empty line, and lines of signatures")
    if any(ord(character) < 0x20 and character != "\n" for character in note):
        raise NoteRefused("a note has no control characters")
    return f"{text}\n", lines


def signature_of(line: str) -> tuple[str, bytes, bytes]:
    """Name, key id and signature in a line, of whatever type. Raises `NoteRefused`."""
    found = _SIGNATURE.fullmatch(line)
    if found is None:
        raise NoteRefused("a line of signature must be: — name base64")
    signed = _decoded(found[2])
    return found[1], signed[:_KEY_ID_BYTES], signed[_KEY_ID_BYTES:]


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise NoteRefused("a key or a signature must be base64") from None
