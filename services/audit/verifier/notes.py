"""Signed notes and checkpoints: C2SP signed-note v1.0.0 and tlog-checkpoint v1.0.0, with Ed25519 (signature type 0x01).

A note is text, an empty line, and signature lines `— <key name> base64(4-byte key id || signature)`. Signatures of
keys other than ours, of whatever type, are ignored; one that claims our key and does not verify spoils the note.
"""

import binascii
import hashlib
import re
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

ED25519 = 0x01
MOST_NOTE_BYTES = 1_000_000
MOST_SIGNATURES = 100
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")
_VKEY = re.compile(r"([^\s+]+)\+([0-9a-f]{8})\+(\S+)")
_MARK = "— "


class NotANote(ValueError):
    """The text is no signed note, no checkpoint or no verifier key; the message says what is wrong."""


class NotSigned(NotANote):
    """No signature of our key, or one that does not verify."""


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """The name and the public key (32 bytes) of a log or a witness. `key_id` is SHA-256(name LF type key), cut to 4 bytes."""

    name: str
    key_id: bytes
    public: bytes


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A log's claim: at `size` entries its root is `root` (32 bytes)."""

    origin: str
    size: int
    root: bytes


def strict_base64(text: str | bytes) -> bytes:
    """The bytes of standard, padded base64 in its one canonical spelling; ValueError for any other."""
    data = text.encode("ascii") if isinstance(text, str) else text
    decoded = binascii.a2b_base64(data)
    if binascii.b2a_base64(decoded, newline=False) != data:
        raise ValueError("base64 is not in its canonical form")
    return decoded


def parse_key(text: str, *, kind: int = ED25519) -> VerifierKey:
    """The key of `<name>+<key id in hex>+<base64(type || public key)>`, where its type is `kind`. Raises NotANote."""
    found = _VKEY.fullmatch(text.strip())
    if found is None:
        raise NotANote("a verifier key looks like name+0123abcd+base64")
    name, key_id = found[1], bytes.fromhex(found[2])
    try:
        typed = strict_base64(found[3])
    except ValueError as error:
        raise NotANote(f"the verifier key's last part is not base64: {error}") from error
    if len(typed) != 33 or typed[0] != kind:
        raise NotANote(
            f"the verifier key is not an Ed25519 key of the type that is asked for ({kind:#04x} and 32 bytes)"
        )
    if hashlib.sha256(name.encode() + b"\n" + typed).digest()[:4] != key_id:
        raise NotANote("the verifier key's id does not belong to its name and key: is a character missing?")
    return VerifierKey(name, key_id, typed[1:])


def open_note(note: str, key: VerifierKey) -> str:
    """The text of a note that our key signed, its last line break included. Raises NotANote or NotSigned."""
    body, lines = parts_of(note)
    ours = [signature for line in lines if (signature := signature_of(line, key)) is not None]
    if not ours:
        raise NotSigned(f"no signature of {key.name}+{key.key_id.hex()}")
    try:
        Ed25519PublicKey.from_public_bytes(key.public).verify(ours[0], body.encode())
    except (InvalidSignature, ValueError) as error:
        raise NotSigned(f"the signature of {key.name}+{key.key_id.hex()} does not verify") from error
    return body


def parts_of(note: str) -> tuple[str, list[str]]:
    """A note's text, its last line break included, and its signature lines, of which nothing is verified. Raises NotANote."""
    if len(note) > MOST_NOTE_BYTES:
        raise NotANote(f"a note has at most {MOST_NOTE_BYTES} bytes")
    if any(letter < " " and letter != "\n" for letter in note):
        raise NotANote("a note has no control characters")
    text, parted, block = note.rpartition("\n\n")
    if not parted or not block.endswith("\n"):
        raise NotANote("a note ends with an empty line and signature lines")
    lines = block[:-1].split("\n")
    if len(lines) > MOST_SIGNATURES:
        raise NotANote(f"a note has at most {MOST_SIGNATURES} signatures")
    return text + "\n", lines


def signature_of(line: str, key: VerifierKey) -> bytes | None:
    """The signature in a line when it is of our key; NotANote for a line that is no signature line."""
    name, parted, encoded = line.removeprefix(_MARK).partition(" ")
    if not line.startswith(_MARK) or not parted or not name or "+" in name:
        raise NotANote("a signature line is `— name base64`")
    try:
        decoded = strict_base64(encoded)
    except ValueError as error:
        raise NotANote(f"a signature line is not base64: {error}") from error
    if len(decoded) < 5:
        raise NotANote("a signature is longer than its key id")
    return decoded[4:] if name == key.name and decoded[:4] == key.key_id else None


def parse_checkpoint(body: str) -> Checkpoint:
    """Origin, size and root of a checkpoint's text; extension lines are allowed and ignored. Raises NotANote."""
    lines = body.split("\n")
    if len(lines) < 4 or lines[-1] != "" or not lines[0] or "" in lines[3:-1]:
        raise NotANote("a checkpoint has three lines: origin, size and root")
    if not _SIZE.fullmatch(lines[1]):
        raise NotANote("a checkpoint's size is a decimal number without leading zeros")
    try:
        root = strict_base64(lines[2])
    except ValueError as error:
        raise NotANote(f"a checkpoint's root is not base64: {error}") from error
    if len(root) != 32:
        raise NotANote(f"a checkpoint's root has 32 bytes, not {len(root)}")
    return Checkpoint(lines[0], int(lines[1]), root)


def open_checkpoint(note: str, key: VerifierKey) -> Checkpoint:
    """The checkpoint in a note that our key signed for its own log. Raises NotANote or NotSigned."""
    checkpoint = parse_checkpoint(open_note(note, key))
    if checkpoint.origin != key.name:
        raise NotSigned(f"its origin is {checkpoint.origin!r}, the key is of {key.name!r}")
    return checkpoint


def claimed(note: str) -> Checkpoint | None:
    """What a note claims, signed or not: to go on looking after its signature failed."""
    try:
        return parse_checkpoint(note.rpartition("\n\n")[0] + "\n")
    except NotANote:
        return None
