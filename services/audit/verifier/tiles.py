"""A directory of tiles, as C2SP tlog-tiles v1.0.0 lays it out, with openings and receipts beside them.

`checkpoint`; `tile/<L>/<N>[.p/<W>]`, hashes of subtrees of height 8 * L, 256 a tile; `tile/entries/<N>[.p/<W>]`, leaves
with their length before them as a big-endian uint16. N is in groups of three digits, all but the last after an `x`.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

from services.audit.verifier.findings import Unreadable
from services.audit.verifier.lines import Piece, lines_in, pieces_of, read_small, read_text
from services.audit.verifier.notes import MOST_NOTE_BYTES, VerifierKey, claimed
from services.audit.verifier.openings import Openings, read_openings
from services.audit.verifier.places import Places, Run, believable, lines_at, offsets_at, runs_of, starts_of
from services.audit.verifier.pool import Pool
from services.audit.verifier.receipts import Receipt, read_receipts
from services.audit.verifier.source import BLOCK, HASH, Claim, Job, Kept, Row

WIDTH = 256
MOST_BUNDLE_BYTES = WIDTH * (2 + 65_535)
_OPENED = {"index", "openings"}
_NUMBER = re.compile(r"(?:x\d{3}/){0,5}\d{3}")
_INDEX = re.compile(rb'\{"index":(\d{1,18})[,}]')


@dataclass(frozen=True, slots=True)
class Tiles:
    """A directory of tiles up to the size that its checkpoint names."""

    path: Path
    key: VerifierKey
    size: int
    note: str
    end: int
    nodes_until: int
    places: Path | None
    first: int = 0
    left: Sequence[bytes] = ()
    keeps_unsigned: bool = False

    def total(self) -> int:
        return self.size

    def head(self) -> Kept:
        return Kept("the head", self.note)

    def older(self) -> Iterator[Kept]:
        return iter(())

    def counted(self) -> int:
        return self.size

    def claims(self) -> list[Claim]:
        return []

    def receipts(self) -> list[Receipt]:
        path = self.path / "receipts.jsonl"
        return read_receipts(path) if path.exists() else []

    def notices(self) -> list[str]:
        missing = [name for name in ("openings", "receipts") if not (self.path / f"{name}.jsonl").exists()]
        return [f"{name}: there is no {name}.jsonl beside the tiles" for name in missing]

    def jobs(self) -> Iterator[Job]:
        """Blocks of whole tiles, up to the last bundle of entries that is there."""
        for first in range(0, self.end, BLOCK):
            yield Job(first, min(BLOCK, self.end - first))

    def rows(self, job: Job) -> list[Row]:
        """The entries of a block. An entry that cannot be cut out of its bundle is missing."""
        rows: list[Row] = []
        opened = self._openings(job.first, job.entries)
        for tile in range(job.first // WIDTH, -(-(job.first + job.entries) // WIDTH)):
            width = min(WIDTH, self.size - tile * WIDTH)
            entries = _split(_tile(self.path, "entries", tile, width, MOST_BUNDLE_BYTES), width)
            hashes = _tile(self.path, "0", tile, width, WIDTH * HASH)
            for at in range(width):
                kept = hashes[at * HASH : (at + 1) * HASH]
                whole = len(kept) == HASH
                lost = None if whole else "its leaf hash is missing"
                index = tile * WIDTH + at
                rows.append(Row(index, entries[at], kept if whole else None, opened.get(index), lost=lost))
        return rows

    def stored(self, level: int, start: int, count: int) -> bytes:
        """Hashes of nodes of a height, a multiple of 8, out of their tiles."""
        nodes = self.size >> level
        parts: list[bytes] = []
        for tile in range(start // WIDTH, -(-(start + count) // WIDTH)):
            width = min(WIDTH, nodes - tile * WIDTH)
            whole = _tile(self.path, str(level // 8), tile, width, WIDTH * HASH)[: width * HASH]
            parts.append(whole.ljust(width * HASH, b"\x00"))
        skip = start % WIDTH * HASH
        return b"".join(parts)[skip : skip + count * HASH]

    def _openings(self, first: int, count: int) -> dict[int, Openings]:
        if self.places is None:
            return {}
        path = self.path / "openings.jsonl"
        lines = lines_at(path, offsets_at(self.places, first, count))
        return {first + at: _openings_of(line, first + at, path) for at, line in enumerate(lines) if line is not None}


def open_tiles(path: Path, key: VerifierKey, scratch: Path, pool: Pool) -> Tiles:
    """Read the checkpoint of a directory and find its openings. Raises Unreadable."""
    note = read_text(path / "checkpoint", most=MOST_NOTE_BYTES)
    said = claimed(note)
    openings = path / "openings.jsonl"
    places = _places(openings, scratch / "openings", pool) if openings.exists() else None
    size = said.size if said else 0
    return Tiles(path, key, size, note, min(size, _end_of(path / "tile" / "entries")), size, places)


def tile_path(kind: str, number: int, width: int = WIDTH) -> str:
    """The path of a tile below the directory; `kind` is its level, or `entries`."""
    groups = [f"{number % 1000:03d}"]
    while number := number // 1000:
        groups.insert(0, f"x{number % 1000:03d}")
    return f"tile/{kind}/{'/'.join(groups)}" + ("" if width == WIDTH else f".p/{width}")


@lru_cache(maxsize=64)
def _tile(folder: Path, kind: str, number: int, width: int, most: int) -> bytes:
    """The bytes of a tile: the partial one of this width, or the full one that came after it; nothing when there is none."""
    for path in dict.fromkeys((folder / tile_path(kind, number, width), folder / tile_path(kind, number))):
        if path.is_file():
            return read_small(path, most=most)
    return b""


def _end_of(folder: Path) -> int:
    """The index after the last entry for which a bundle may be there."""
    count, end = 0, 0
    for path in folder.rglob("*"):
        parts = path.relative_to(folder).as_posix().removesuffix(".p").replace(".p/", "/.p/").split("/.p/")[0]
        if path.is_file() and _NUMBER.fullmatch(parts):
            count += 1
            end = max(end, (int(parts.replace("x", "").replace("/", "")) + 1) * WIDTH)
    return min(end, believable(count * WIDTH))


def _split(bundle: bytes, width: int) -> list[bytes | None]:
    """The entries of a bundle; None for those that it does not have whole."""
    entries: list[bytes | None] = []
    at = 0
    for _ in range(width):
        length = int.from_bytes(bundle[at : at + 2], "big")
        there = at + 2 <= len(bundle) and at + 2 + length <= len(bundle)
        entries.append(bundle[at + 2 : at + 2 + length] if there else None)
        at += 2 + length if there else len(bundle)
    return entries


def _places(path: Path, scratch: Path, pool: Pool) -> Path:
    places = Places(scratch)
    for runs in pool.map(partial(_placed, path), pieces_of(path)):
        for first, offsets in runs:
            places.put(first, offsets)
    places.close()
    if places.repeated:
        raise Unreadable(f"{path} has openings of entry {min(places.repeated)} more than once")
    return scratch


def _placed(path: Path, piece: Piece) -> list[Run]:
    lines = lines_in(path, piece)
    indexes = [_index(line, path, number) for number, line in enumerate(lines, piece.number + 1)]
    return runs_of(indexes, starts_of(lines, piece.start))


def _index(line: bytes, path: Path, number: int) -> int:
    found = _INDEX.match(line)
    try:
        index = int(found[1]) if found else json.loads(line)["index"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Unreadable(f"{path}: line {number} has no index") from error
    if type(index) is not int:
        raise Unreadable(f"{path}: line {number} has no index")
    return index


def _openings_of(line: bytes, index: int, path: Path) -> Openings:
    try:
        said = json.loads(line.decode("utf-8", "surrogatepass"))
        if said.keys() != _OPENED or said["index"] != index:
            raise ValueError("a line has index and openings, and nothing else")
        return read_openings(said["openings"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Unreadable(f"{path}: the openings of an entry cannot be read: {str(error)[:120]}") from error
