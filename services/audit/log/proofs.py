"""Inclusion and consistency proofs: which ranges of leaves they hash (RFC 6962, 2.1.1 and 2.1.2), and their check.

A proof is first a list of ranges, from the leaf's neighbour up to the root's, then the hash of each. The checks follow
RFC 9162, 2.1.3.2 and 2.1.4.2: they answer False for whatever does not fit, and never raise.
"""

from collections.abc import Mapping, Sequence

from services.audit.log.tree import HASH_BYTES, Node, fold, node_hash, subtrees

Range = tuple[int, int]
"""The leaves from the first number to before the second."""


def inclusion_ranges(index: int, size: int) -> list[Range]:
    """What proves that a leaf is in the tree of `size` leaves; `ValueError` where it cannot be."""
    if not 0 <= index < size:
        raise ValueError(f"a tree of {size} leaves has no leaf {index}")
    start, end, found = 0, size, list[Range]()
    while end - start > 1:
        middle = start + _left(end - start)
        if index < middle:
            found.append((middle, end))
            end = middle
        else:
            found.append((start, middle))
            start = middle
    return found[::-1]


def consistency_ranges(old: int, new: int) -> list[Range]:
    """What proves that the tree of `old` leaves is how the one of `new` begins; nothing where either is empty or both are one."""
    if not 0 <= old <= new:
        raise ValueError(f"a tree of {new} leaves has not grown from one of {old}")
    if old in (0, new):
        return []
    start, end, found = 0, new, list[Range]()
    while end != old:
        middle = start + _left(end - start)
        if old <= middle:
            found.append((middle, end))
            end = middle
        else:
            found.append((start, middle))
            start = middle
    # The old tree itself is known to whoever asks, unless it is only a part of what was hashed so far.
    return [*([(start, end)] if start else []), *found[::-1]]


def nodes_of(ranges: Sequence[Range]) -> list[Node]:
    """The full subtrees that a proof is hashed from."""
    return [node for start, end in ranges for node in subtrees(start, end)]


def proof_of(ranges: Sequence[Range], hashes: Mapping[Node, bytes]) -> list[bytes]:
    """The proof, where `hashes` holds all of `nodes_of(ranges)`."""
    return [fold([hashes[node] for node in subtrees(start, end)]) for start, end in ranges]


def is_included(*, leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether the proof shows that the leaf hash has this place in the tree with this root."""
    if not 0 <= index < size or len(leaf) != HASH_BYTES:
        return False
    here, last, above = index, size - 1, leaf
    for neighbour in proof:
        if last == 0:
            return False
        if here & 1 or here == last:
            above = node_hash(neighbour, above)
            while here and not here & 1:
                here, last = here >> 1, last >> 1
        else:
            above = node_hash(above, neighbour)
        here, last = here >> 1, last >> 1
    return last == 0 and above == root


def is_consistent(*, old: int, old_root: bytes, new: int, new_root: bytes, proof: Sequence[bytes]) -> bool:
    """Whether the proof shows that the older tree is how the newer one begins. An empty older tree is refused:
    it begins every tree, so nothing is shown; whoever starts there says so by itself."""
    if not 0 < old <= new:
        return False
    if old == new:
        return not proof and old_root == new_root
    path = list(proof) if old & (old - 1) else [old_root, *proof]
    if not path or not proof:
        return False
    here, last = old - 1, new - 1
    while here & 1:
        here, last = here >> 1, last >> 1
    below = above = path[0]
    for neighbour in path[1:]:
        if last == 0:
            return False
        if here & 1 or here == last:
            below, above = node_hash(neighbour, below), node_hash(neighbour, above)
            while here and not here & 1:
                here, last = here >> 1, last >> 1
        else:
            above = node_hash(above, neighbour)
        here, last = here >> 1, last >> 1
    return last == 0 and below == old_root and above == new_root


def _left(count: int) -> int:
    """The largest power of two below `count`, which is at least 2: how many leaves the left half has."""
    return 1 << ((count - 1).bit_length() - 1)
