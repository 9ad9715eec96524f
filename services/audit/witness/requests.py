"""What a log asks of a witness (C2SP tlog-witness, add-checkpoint): the size it takes it to be at, a proof, and a signed head."""

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass

from services.audit.log.notes import MOST_NOTE_CHARACTERS, NoteRefused, parted
from services.audit.log.tree import HASH_BYTES

MOST_HASHES = 63
MOST_REQUEST_BYTES = 4 * MOST_NOTE_CHARACTERS
_OLD = re.compile(r"old (0|[1-9][0-9]{0,18})", re.ASCII)


class Unreadable(ValueError):
    """This is no such request; the message says why."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One request: `proof` shows that the tree of `old` leaves is how that of the head in `note` begins."""

    old: int
    proof: Sequence[bytes]
    note: str

    @property
    def origin(self) -> str:
        """The first line of the head: which log asks, or says that it does."""
        return self.note.partition("\n")[0]


def parse(body: bytes) -> Asked:
    """The request in a body. Raises `Unreadable`."""
    try:
        head, parting, note = body.decode().partition("\n\n")
    except UnicodeDecodeError:
        raise Unreadable("the body must be UTF-8") from None
    first, *hashes = head.split("\n")
    old = _OLD.fullmatch(first)
    if old is None or not parting:
        raise Unreadable("a request is: old and a size, lines of a proof, an empty line, a signed checkpoint")
    if len(hashes) > MOST_HASHES:
        raise Unreadable(f"a proof has at most {MOST_HASHES} hashes, not {len(hashes)}")
    try:
        parted(note)
    except NoteRefused as refused:
        raise Unreadable(str(refused)) from refused
    return Asked(int(old[1]), [_hash(line) for line in hashes], note)


def _hash(line: str) -> bytes:
    try:
        found = base64.b64decode(line, validate=True)
    except (binascii.Error, ValueError):
        raise Unreadable("a line of a proof must be base64") from None
    if len(found) != HASH_BYTES:
        raise Unreadable(f"a hash has {HASH_BYTES} bytes, not {len(found)}")
    return found
