"""The Merkle tree of RFC 6962, 2.1 (RFC 9162, 2.1.1): hashes, the levels over a run of leaves, and the peaks of a tree.

A node (level, index) is the root of the full subtree over leaves [index * 2^level, (index + 1) * 2^level). The *peaks*
of a tree are its largest full subtrees, from the left; their hashes make its root.
"""

from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import NamedTuple

EMPTY_ROOT = sha256().digest()


class Peak(NamedTuple):
    """A full subtree and its hash (32 bytes)."""

    level: int
    number: int
    hash: bytes


class Level(NamedTuple):
    """Neighbouring nodes of one level; `start` is the index of the first."""

    start: int
    hashes: list[bytes]


def leaf_hash(data: bytes) -> bytes:
    """SHA-256(0x00 || data)."""
    return sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256(0x01 || left || right)."""
    return sha256(b"\x01" + left + right).digest()


def subtrees(first: int, end: int) -> Iterator[tuple[int, int]]:
    """The largest full subtrees (level, index) that together cover leaves [first, end), from the left."""
    while first < end:
        level = (end - first).bit_length() - 1
        if first:
            level = min(level, (first & -first).bit_length() - 1)
        yield level, first >> level
        first += 1 << level


def levels_over(first: int, hashes: list[bytes]) -> list[Level]:
    """All full subtrees over the leaves from index `first` on, level by level, level 0 being the leaves."""
    levels = [Level(first, hashes)]
    while True:
        start, below = levels[-1]
        skip = start & 1
        pairs = zip(below[skip::2], below[skip + 1 :: 2], strict=False)
        above = [sha256(b"\x01" + left + right).digest() for left, right in pairs]
        if not above:
            return levels
        levels.append(Level((start + skip) >> 1, above))


def peaks_over(levels: Sequence[Level], first: int, end: int) -> list[Peak]:
    """The peaks of leaves [first, end), which the levels cover."""
    return [
        Peak(level, index, levels[level].hashes[index - levels[level].start]) for level, index in subtrees(first, end)
    ]


class Tree:
    """A tree that grows at its right end, as its peaks: some twenty hashes for a million leaves."""

    def __init__(self, peaks: Sequence[Peak] = ()) -> None:
        self._peaks = list(peaks)

    @classmethod
    def left_of(cls, first: int, hashes: Sequence[bytes]) -> "Tree":
        """The tree over leaves [0, first) from the hashes of its peaks. ValueError when they are not as many."""
        places = list(subtrees(0, first))
        if len(places) != len(hashes):
            raise ValueError(f"left of {first} are {len(places)} full subtrees, not {len(hashes)}")
        return cls([Peak(level, index, one) for (level, index), one in zip(places, hashes, strict=True)])

    def copy(self) -> "Tree":
        """Another tree with the same leaves."""
        return Tree(self._peaks)

    def push(self, peak: Peak) -> list[Peak]:
        """Add the next full subtree; the nodes that it completed, lowest first."""
        made: list[Peak] = []
        while self._peaks and self._peaks[-1].level == peak.level:
            left = self._peaks.pop()
            peak = Peak(peak.level + 1, left.number >> 1, node_hash(left.hash, peak.hash))
            made.append(peak)
        self._peaks.append(peak)
        return made

    def grown(self, peaks: Sequence[Peak]) -> "Tree":
        """Another tree with these subtrees added."""
        other = self.copy()
        for peak in peaks:
            other.push(peak)
        return other

    def joined(self) -> bytes:
        """The hashes of the peaks, from the left."""
        return b"".join(peak.hash for peak in self._peaks)

    def root(self) -> bytes:
        """The root hash (32 bytes); of no leaves at all it is SHA-256 of nothing."""
        if not self._peaks:
            return EMPTY_ROOT
        root = self._peaks[-1].hash
        for peak in reversed(self._peaks[:-1]):
            root = node_hash(peak.hash, root)
        return root
