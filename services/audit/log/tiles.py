"""Tiles (C2SP tlog-tiles): 256 hashes of every eighth level, or 256 leaves, under a path that never changes its content.

Tile number N of tile level L holds the full subtrees of level 8 * L from N * 256 on. A partial tile is the beginning of
a tile, named by its width.
"""

import re
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from services.audit.log.tree import KEPT_LEVELS, Node, node_hash

TILE_WIDTH = 1 << KEPT_LEVELS
MOST_LEVEL = 7
"""Tile levels that a log can have: its numbers end at 2 to the 62."""
ENTRIES = "entries"

_PATH = re.compile(r"(entries|0|[1-9]\d?)/((?:x\d{3}/)*\d{3})(?:\.p/([1-9]\d{0,2}))?", re.ASCII)
_LENGTH = struct.Struct(">H")


@dataclass(frozen=True, slots=True)
class Tile:
    """A tile: its level (None for leaves), its number, and how many of its 256 it holds."""

    level: int | None
    number: int
    width: int = TILE_WIDTH

    @property
    def first(self) -> int:
        """The index, within its level, of what it begins with."""
        return self.number * TILE_WIDTH

    @property
    def path(self) -> str:
        """The path below `tile/`."""
        digits = f"{self.number:03}"
        digits = digits.zfill(-(-len(digits) // 3) * 3)
        groups = [digits[start : start + 3] for start in range(0, len(digits), 3)]
        name = "/".join([*(f"x{group}" for group in groups[:-1]), groups[-1]])
        level = ENTRIES if self.level is None else str(self.level)
        return f"{level}/{name}" + (f".p/{self.width}" if self.width < TILE_WIDTH else "")

    @classmethod
    def parse(cls, path: str) -> "Tile | None":
        """The tile of a path below `tile/`; None where no tile can be called that."""
        found = _PATH.fullmatch(path) if len(path) <= 80 else None
        if found is None:
            return None
        level = None if found[1] == ENTRIES else int(found[1])
        tile = cls(level, int(re.sub("[x/]", "", found[2])), int(found[3] or TILE_WIDTH))
        # One tile has one name: no groups of nothing in front, no full width that calls itself partial.
        return tile if tile.path == path and (level or 0) <= MOST_LEVEL and tile.number < 1 << 54 else None


def tiles_of(size: int) -> list[Tile]:
    """The last tile of every level of a tree of `size` leaves, and with it how far each level reaches."""
    found: list[Tile] = []
    level, count = 0, size
    while count:
        number = (count - 1) // TILE_WIDTH
        found.append(Tile(level, number, count - number * TILE_WIDTH))
        level, count = level + 1, count // TILE_WIDTH
    return found


def tiles_for(nodes: Iterable[Node]) -> dict[tuple[int, int], int]:
    """The tiles that these full subtrees are made again from: `(level, number)` to the width that is needed."""
    found: dict[tuple[int, int], int] = {}
    for node in nodes:
        level, first, count = _within(node)
        place = (level, first // TILE_WIDTH)
        found[place] = max(found.get(place, 0), first % TILE_WIDTH + count)
    return found


def hash_from(tiles: Mapping[tuple[int, int], Sequence[bytes]], node: Node) -> bytes:
    """The hash of a full subtree from the tile that holds it or what it is made of."""
    level, first, count = _within(node)
    start = first % TILE_WIDTH
    row = list(tiles[level, first // TILE_WIDTH][start : start + count])
    if len(row) != count:
        raise ValueError(f"a tile of level {level} lacks hashes of the subtree {node.number} of level {node.level}")
    while len(row) > 1:
        row = [node_hash(left, right) for left, right in zip(row[::2], row[1::2], strict=True)]
    return row[0]


def entry_bundle(bodies: Iterable[bytes]) -> bytes:
    """The bytes of a tile of leaves: each after its length in two bytes, the higher first."""
    return b"".join(_LENGTH.pack(len(body)) + body for body in bodies)


def _within(node: Node) -> tuple[int, int, int]:
    """The tile level at or below a node, and the first of its hashes there and their number."""
    level, height = divmod(node.level, KEPT_LEVELS)
    return level, node.number << height, 1 << height
