"""An export: a `.jsonl` or `.jsonl.gz` whose first line has the head, and each other line one entry."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from services.audit.verifier.findings import Unreadable
from services.audit.verifier.lines import Piece, blocks_of, is_packed, lines_in, lines_of, pieces_of
from services.audit.verifier.notes import VerifierKey, strict_base64
from services.audit.verifier.openings import read_openings
from services.audit.verifier.receipts import Receipt
from services.audit.verifier.source import BLOCK, HASH, Claim, Job, Kept, Row
from services.audit.verifier.tree import subtrees

FORMAT = "reeve-audit-log/1"
MOST_SIZE = 2**48
_HEADER = {"format", "checkpoint", "first", "size", "root"}
_ENTRY = {"index", "leaf", "leaf_hash"}


@dataclass(frozen=True, slots=True)
class Export:
    """An export whose first line was read."""

    path: Path
    key: VerifierKey
    first: int
    left: Sequence[bytes]
    size: int
    checkpoint: Kept
    begin: int
    """The length of the first line, its break included."""
    nodes_until: int = 0
    keeps_unsigned: bool = False

    def total(self) -> int:
        return max(0, self.size - self.first)

    def head(self) -> Kept:
        return self.checkpoint

    def older(self) -> Iterator[Kept]:
        return iter(())

    def counted(self) -> int:
        return self.first + self.total()

    def claims(self) -> list[Claim]:
        return []

    def receipts(self) -> list[Receipt]:
        return []

    def notices(self) -> list[str]:
        return ["tiles and nodes: an export has none"]

    def jobs(self) -> Iterator[Job]:
        """Blocks of lines, each with the place that its first line should have; of a plain file, where they are."""
        if not is_packed(self.path):
            for piece in pieces_of(self.path, self.begin, 1):
                yield Job(self.first + piece.number - 1, piece.lines, piece)
            return
        place = self.first
        for number, block in enumerate(blocks_of(self.path, BLOCK)):
            lines = block if number else block[1:]
            yield Job(place, len(lines), lines)
            place += len(lines)

    def rows(self, job: Job) -> list[Row]:
        """The entries in a block of lines. Raises Unreadable for a line that is none."""
        lines = lines_in(self.path, job.payload) if isinstance(job.payload, Piece) else job.payload or []
        return [_row(line, self.path, number) for number, line in enumerate(lines, job.first - self.first + 2)]

    def stored(self, level: int, start: int, count: int) -> bytes:
        return b""


def open_export(path: Path, key: VerifierKey) -> Export:
    """Read the first line of an export. Raises Unreadable."""
    line = next(lines_of(path), None)
    if line is None:
        raise Unreadable(f"{path} is empty")
    try:
        said = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"{path}: its first line is not JSON") from error
    if not isinstance(said, dict) or said.get("format") != FORMAT:
        raise Unreadable(f'{path}: its first line does not say "format":"{FORMAT}"')
    if not said.keys() >= _HEADER or not said.keys() <= _HEADER | {"left"}:
        raise Unreadable(f"{path}: its first line has checkpoint, first, size, root, perhaps left, and nothing else")
    try:
        first, size = _place(said["first"]), _place(said["size"])
        left = [_hash(one) for one in said.get("left", [])]
        kept = Kept("the head", said["checkpoint"], size, _hash(said["root"]))
        # A note with half a surrogate pair could not be hashed.
        said["checkpoint"].encode()
    except (ValueError, TypeError, AttributeError) as error:
        raise Unreadable(f"{path}: its first line is wrong: {error}") from error
    if len(left) != sum(1 for _ in subtrees(0, first)):
        raise Unreadable(f"{path}: it begins at entry {first}, and left has {len(left)} hashes")
    return Export(path, key, first, left, size, kept, len(line) + 1)


def _place(value: object) -> int:
    if type(value) is not int or not 0 <= value <= MOST_SIZE:
        raise ValueError(f"{str(value)[:40]} is no place in a log")
    return value


def _hash(text: str) -> bytes:
    value = strict_base64(text)
    if len(value) != HASH:
        raise ValueError(f"a hash has {HASH} bytes, not {len(value)}")
    return value


def _row(line: bytes, path: Path, number: int) -> Row:
    try:
        said = json.loads(line.decode("utf-8", "surrogatepass"))
        openings = read_openings(said.pop("openings")) if "openings" in said else None
        if said.keys() != _ENTRY:
            raise ValueError("an entry has index, leaf, leaf_hash, perhaps openings, and nothing else")
        return Row(_place(said["index"]), strict_base64(said["leaf"]), _hash(said["leaf_hash"]), openings)
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise Unreadable(f"{path}: line {number}: {str(error)[:120]}") from error
