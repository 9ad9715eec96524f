"""Checkpoints (C2SP tlog-checkpoint): what the log says of itself in three lines - its name, its size, its root."""

import base64
import binascii
import re
from dataclasses import dataclass

from services.audit.log.notes import NoteRefused, SigningKey, VerifierKey, open_note
from services.audit.log.tree import HASH_BYTES

_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A head of the log that calls itself `origin`."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        """The text that is signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"

    @classmethod
    def parse(cls, text: str) -> "Checkpoint":
        """The checkpoint of a signed text; lines beyond the third are extensions and ignored. Raises `NoteRefused`."""
        origin, size, root, *_ = [*text.split("\n"), "", "", ""]
        if not origin or not _SIZE.fullmatch(size):
            raise NoteRefused("a checkpoint is: origin, size in decimal, root in base64")
        try:
            decoded = base64.b64decode(root, validate=True)
        except binascii.Error:
            raise NoteRefused("the root of a checkpoint must be base64") from None
        if len(decoded) != HASH_BYTES:
            raise NoteRefused(f"the root of a checkpoint has {HASH_BYTES} bytes")
        return cls(origin, int(size), decoded)


def signed_checkpoint(key: SigningKey, *, size: int, root: bytes) -> str:
    """The note of a head, by the key that bears the log's name."""
    return key.sign(Checkpoint(key.name, size, root).text)


def open_checkpoint(note: str, key: VerifierKey) -> Checkpoint:
    """The checkpoint that `key` signed for the log of its name. Raises `NoteRefused`."""
    found = Checkpoint.parse(open_note(note, key))
    if found.origin != key.name:
        raise NoteRefused(f"the checkpoint is that of {found.origin[:100]!r}, not of {key.name}")
    return found
