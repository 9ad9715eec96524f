"""The Merkle tree of RFC 6962, 2.1 (the same in RFC 9162, 2.1.1): SHA-256, leaves and inner nodes told apart by a byte.

A full subtree is named by its level (2 to the level leaves) and its number among the full ones of that level, from 0.
What a tree of n leaves is made of are the full subtrees of the bits of n, largest first: its frontier. With it
alone the tree grows, and its root is known.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple

HASH_BYTES = 32
KEPT_LEVELS = 8
"""Every eighth level is kept: the hashes of a tile of tlog-tiles. What lies between is made again from 256 of them."""

_LEAF, _NODE = b"\x00", b"\x01"
EMPTY_ROOT = sha256().digest()


class Node(NamedTuple):
    """A full subtree: the leaves from `number << level` to before `(number + 1) << level`."""

    level: int
    number: int


class Kept(NamedTuple):
    """A full subtree of a level that is kept, with its hash."""

    level: int
    number: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class Frontier:
    """A tree of `size` leaves by the hashes of its full subtrees, largest first. Raises `ValueError` for another number."""

    size: int = 0
    hashes: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        if self.size < 0 or len(self.hashes) != self.size.bit_count():
            raise ValueError(f"a tree of {self.size} leaves has not {len(self.hashes)} full subtrees")

    @property
    def root(self) -> bytes:
        """The hash of the whole tree, 32 bytes; of none, the hash of nothing."""
        return fold(self.hashes)

    def pack(self) -> bytes:
        """The hashes, one after the other."""
        return b"".join(self.hashes)

    @classmethod
    def unpack(cls, size: int, packed: bytes) -> "Frontier":
        """What `pack` gave for a tree of that size."""
        if len(packed) % HASH_BYTES:
            raise ValueError(f"hashes have {HASH_BYTES} bytes each; {len(packed)} bytes came")
        return cls(size, tuple(packed[start : start + HASH_BYTES] for start in range(0, len(packed), HASH_BYTES)))


def leaf_hash(body: bytes) -> bytes:
    """The hash of a leaf, 32 bytes."""
    return sha256(_LEAF + body).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of a node above two others, 32 bytes."""
    return sha256(_NODE + left + right).digest()


def grow(frontier: Frontier, leaves: Iterable[bytes]) -> tuple[Frontier, list[Kept]]:
    """The tree with these leaf hashes after its own, and the subtrees of kept levels that they complete, in order."""
    size, stack = frontier.size, list(frontier.hashes)
    finished: list[Kept] = []
    for leaf in leaves:
        above, level, index = leaf, 0, size
        # Each bit that the size has at its end is a full subtree of that level, waiting for its right half.
        while index & 1:
            above = sha256(_NODE + stack.pop() + above).digest()
            level += 1
            index >>= 1
            if level % KEPT_LEVELS == 0:
                finished.append(Kept(level, index, above))
        stack.append(above)
        size += 1
    return Frontier(size, tuple(stack)), finished


def fold(hashes: Sequence[bytes]) -> bytes:
    """The hash over adjoining full subtrees, largest first; that of nothing for none."""
    if not hashes:
        return EMPTY_ROOT
    above = hashes[-1]
    for left in reversed(hashes[:-1]):
        above = node_hash(left, above)
    return above


def subtrees(start: int, end: int) -> list[Node]:
    """The full subtrees that the leaves from `start` to before `end` are made of, from left to right."""
    found: list[Node] = []
    while start < end:
        level = (end - start).bit_length() - 1
        if start:
            level = min(level, (start & -start).bit_length() - 1)
        found.append(Node(level, start >> level))
        start += 1 << level
    return found
