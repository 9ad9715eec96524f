"""Trees for tests, straight from the recursive definition of RFC 6962, 2.1, with nothing of ours but the hash's name."""

from collections.abc import Sequence
from hashlib import sha256

from services.audit.log.tiles import TILE_WIDTH, hash_from, tiles_for
from services.audit.log.tree import Frontier, Kept, Node, grow, leaf_hash

EIGHT = [
    bytes.fromhex(text)
    for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
"""The leaves of the test tree that certificate transparency has used since its first draft."""


def defined_root(bodies: Sequence[bytes]) -> bytes:
    """MTH(D[n]) as the RFC writes it."""
    if not bodies:
        return sha256(b"").digest()
    if len(bodies) == 1:
        return sha256(b"\x00" + bodies[0]).digest()
    half = 1
    while half * 2 < len(bodies):
        half *= 2
    return sha256(b"\x01" + defined_root(bodies[:half]) + defined_root(bodies[half:])).digest()


class Grown:
    """A tree with what the log stores of it: its leaves' hashes, its kept subtrees, its frontier."""

    def __init__(self, bodies: Sequence[bytes], *, step: int = 1_000) -> None:
        self.bodies = list(bodies)
        self.leaves = [leaf_hash(body) for body in bodies]
        self.frontier, self.kept = Frontier(), list[Kept]()
        for start in range(0, len(self.leaves), step):
            self.frontier, more = grow(self.frontier, self.leaves[start : start + step])
            self.kept += more

    def hashes(self, nodes: Sequence[Node]) -> dict[Node, bytes]:
        """The hashes of full subtrees, each from the one tile that holds it."""
        levels = {0: self.leaves}
        for kept in self.kept:
            levels.setdefault(kept.level // 8, []).append(kept.hash)
        tiles = {
            (level, number): levels[level][number * TILE_WIDTH : number * TILE_WIDTH + width]
            for (level, number), width in tiles_for(nodes).items()
        }
        return {node: hash_from(tiles, node) for node in nodes}
