"""A small audit log with its tree and its signed heads, built from the text of RFC 6962 and of C2SP's formats.

It shares no code with the server or the verifier: where all three agree, they agree about the standards.
"""

import base64
import hashlib
import pickle
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.support.audit_entries import MadeEntry, made_entry

ORIGIN = "reeve.local/audit"


def root_of(hashes: Sequence[bytes]) -> bytes:
    """MTH of RFC 6962, 2.1, of leaf hashes, word for word."""
    if not hashes:
        return hashlib.sha256().digest()
    if len(hashes) == 1:
        return hashes[0]
    split = 1 << (len(hashes) - 1).bit_length() - 1
    return hashlib.sha256(b"\x01" + root_of(hashes[:split]) + root_of(hashes[split:])).digest()


def nodes_of(hashes: Sequence[bytes]) -> dict[tuple[int, int], bytes]:
    """The roots of all full subtrees of heights 8, 16 and 24, by height and index."""
    found: dict[tuple[int, int], bytes] = {}
    level = dict(enumerate(hashes))
    for height in range(8, 32, 8):
        width = 256
        level = {n: root_of([level[n * width + at] for at in range(width)]) for n in range(len(level) // width)}
        found.update({(height, index): one for index, one in level.items()})
    return found


def frontier_of(hashes: Sequence[bytes]) -> bytes:
    """The roots of the full subtrees that a tree is made of, largest first."""
    parts, rest = b"", list(hashes)
    while rest:
        width = 1 << len(rest).bit_length() - 1
        parts, rest = parts + root_of(rest[:width]), rest[width:]
    return parts


class Signer:
    """An Ed25519 key of a log; the same seed makes the same key."""

    def __init__(self, seed: str = "the log's", name: str = ORIGIN) -> None:
        self.name = name
        self._key = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(seed.encode()).digest())
        public = self._key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        self._typed = b"\x01" + public
        self._id = hashlib.sha256(name.encode() + b"\n" + self._typed).digest()[:4]

    @property
    def vkey(self) -> str:
        """The verifier key."""
        return f"{self.name}+{self._id.hex()}+{base64.b64encode(self._typed).decode()}"

    def signature(self, body: str) -> str:
        """A signature line under a note's text."""
        signed = base64.b64encode(self._id + self._key.sign(body.encode())).decode()
        return f"\u2014 {self.name} {signed}\n"

    def checkpoint(self, size: int, root: bytes, *, origin: str | None = None) -> str:
        """A signed head."""
        body = f"{origin or self.name}\n{size}\n{base64.b64encode(root).decode()}\n"
        return f"{body}\n{self.signature(body)}"

    def note(self, text: str) -> str:
        """A signed note of any text."""
        return f"{text}\n{self.signature(text)}"


class Cosigner:
    """An Ed25519 key of a witness (C2SP tlog-cosignature, type 0x04); the same name makes the same key."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._key = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(f"witness {name}".encode()).digest())
        public = self._key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        self._typed = b"\x04" + public
        self._id = hashlib.sha256(name.encode() + b"\n" + self._typed).digest()[:4]

    @property
    def vkey(self) -> str:
        """The verifier key."""
        return f"{self.name}+{self._id.hex()}+{base64.b64encode(self._typed).decode()}"

    @property
    def short(self) -> str:
        """Name and key id."""
        return f"{self.name}+{self._id.hex()}"

    def line(self, note: str, time: int) -> str:
        """A line that cosigns the head in a note at a time, in seconds since 1970."""
        body = note.rpartition("\n\n")[0] + "\n"
        signature = self._key.sign(f"cosignature/v1\ntime {time}\n{body}".encode())
        signed = base64.b64encode(self._id + time.to_bytes(8, "big") + signature).decode()
        return f"\u2014 {self.name} {signed}\n"


@dataclass(slots=True)
class MadeCheckpoint:
    """A row of the table of checkpoints."""

    size: int
    root: bytes
    note: str


@dataclass(slots=True)
class MadeLog:
    """A log as it is stored, to be written to files, whole or tampered with."""

    signer: Signer
    entries: list[MadeEntry]
    nodes: dict[tuple[int, int], bytes]
    checkpoints: list[MadeCheckpoint]
    size: int
    """Of the tree; entries beyond it are pending."""
    root: bytes
    frontier: bytes
    counted: int
    places: list[int] = field(default_factory=list)
    """At which sequence each entry is stored."""
    pruned: set[int] = field(default_factory=set)
    """Entries whose rows and seeds are gone."""

    @property
    def head(self) -> MadeCheckpoint:
        """The newest checkpoint."""
        return self.checkpoints[-1]

    def copy(self) -> Self:
        """A log of its own to be tampered with. Pickle takes a tenth of the time of `deepcopy`."""
        entries: list[MadeEntry] = pickle.loads(pickle.dumps(self.entries, pickle.HIGHEST_PROTOCOL))
        return replace(
            self, entries=entries, nodes=dict(self.nodes), places=list(self.places), pruned=set(self.pruned),
            checkpoints=[replace(one) for one in self.checkpoints],
        )  # fmt: skip

    def hashes(self, size: int | None = None) -> list[bytes]:
        """The stored leaf hashes."""
        return [entry.leaf_hash for entry in self.entries[:size]]

    def rebuild(self) -> None:
        """Nodes, root and frontier as the stored leaf hashes give them."""
        hashes = self.hashes(self.size)
        self.nodes, self.root, self.frontier = nodes_of(hashes), root_of(hashes), frontier_of(hashes)

    def sign(self, sizes: Iterable[int]) -> None:
        """Checkpoints of these sizes, in place of those that are there."""
        roots = {size: root_of(self.hashes(size)) for size in sizes}
        self.checkpoints = [
            MadeCheckpoint(size, root, self.signer.checkpoint(size, root)) for size, root in roots.items()
        ]

    def prune(self, *places: int) -> None:
        """Take rows and seeds of entries out of the store; their leaves stay."""
        self.pruned.update(places)
        for place in places:
            self.entries[place].openings = {}

    def announce(self, at: int, *ranges: dict[str, object], source: str = "/reeve/audit") -> None:
        """Make an entry say which rows go, and sign the log again with its own key."""
        entry = self.entries[at]
        entry.leaf.update(type="reeve.audit.pruned.v1", source=source, public={"ranges": [*ranges]})
        entry.row.update(event_type="reeve.audit.pruned.v1", source=source)
        entry.seal()
        self.rebuild()
        self.sign([self.size])

    def remove(self, at: int) -> None:
        """Take an entry out of the store; the others keep their sequence."""
        del self.entries[at], self.places[at]


def made_log(
    size: int = 600, *, checkpoints: Sequence[int] = (), pending: int = 0, signer: Signer | None = None
) -> MadeLog:
    """A log in order: `size` entries under its head, `pending` more behind it, and older heads of some sizes."""
    entries = [made_entry(index, size=size) for index in range(size + pending)]
    log = MadeLog(signer or Signer(), entries, {}, [], size, b"", b"", size + pending, list(range(size + pending)))
    log.rebuild()
    log.sign([*checkpoints, size])
    return log
