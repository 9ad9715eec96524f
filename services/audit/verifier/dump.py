"""A plain `pg_dump` of the schema `audit`: leaves, nodes, heads and openings, and the entries that searches read."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address
from operator import itemgetter
from pathlib import Path

from services.audit.verifier.columns import COMPARED, Compared
from services.audit.verifier.copytext import bytes_of, column, fields_of, text_of, texts_of
from services.audit.verifier.findings import Unreadable
from services.audit.verifier.notes import VerifierKey, strict_base64
from services.audit.verifier.openings import Opening, Openings, Seeded
from services.audit.verifier.ordinary import PATHS
from services.audit.verifier.places import believable, lines_at, offsets_at
from services.audit.verifier.pool import Pool
from services.audit.verifier.receipts import Receipt
from services.audit.verifier.source import BLOCK, HASH, Claim, Job, Kept, Row
from services.audit.verifier.survey import (
    ENTRIES,
    LEAVES,
    OPENINGS,
    Survey,
    checkpoint_rows,
    cosignature_lines,
    nodes_file,
    small_row,
    survey,
)

PRIVATE = tuple(path.removeprefix("/") for path in PATHS)
"""The columns that have the values of what a leaf commits to."""
_ADDRESS = PRIVATE.index("ip_address")
Texts = list[str | None]


@dataclass(frozen=True, slots=True)
class Dump:
    """A dump that was looked through."""

    path: Path
    key: VerifierKey
    survey: Survey
    newest: Kept | None
    tree: Claim | None
    cosigned: Mapping[int, str]
    entries: int
    nodes_until: int
    first: int = 0
    left: Sequence[bytes] = ()
    keeps_unsigned: bool = True

    def total(self) -> int:
        return self.end()

    def end(self) -> int:
        """The index after the last leaf that is worth looking for."""
        return min(self.survey.ends[LEAVES], believable(self.survey.counts[LEAVES]))

    def head(self) -> Kept | None:
        """The newest note, with the cosignatures that the dump has of it."""
        if self.newest is None:
            return None
        return self.newest._replace(note=self.newest.note + self.cosigned.get(self.newest.size or 0, ""))

    def older(self) -> Iterator[Kept]:
        for size, root, note in checkpoint_rows(self.path, self.survey):
            if self.newest is None or (size, root, note) != (self.newest.size, self.newest.root, self.newest.note):
                yield Kept(f"the checkpoint of size {size}", note + self.cosigned.get(size, ""), size, root)

    def counted(self) -> int:
        return max(self.entries, self.survey.ends[ENTRIES] if self.survey.counts[ENTRIES] else 0)

    def claims(self) -> list[Claim]:
        return [self.tree] if self.tree is not None else []

    def receipts(self) -> list[Receipt]:
        return []

    def notices(self) -> list[str]:
        lacks = [name for name in (ENTRIES, OPENINGS) if name not in self.survey.columns]
        return [f"openings: the dump has no rows of audit.{name}" for name in lacks]

    def jobs(self) -> Iterator[Job]:
        """Blocks up to the last leaf."""
        for first in range(0, self.end(), BLOCK):
            yield Job(first, min(BLOCK, self.end() - first))

    def rows(self, job: Job) -> list[Row]:
        """The entries of a block, each out of three tables. Raises Unreadable for rows that cannot be read."""
        try:
            leaves = self._fields(LEAVES, ("body", "leaf_hash"), job)
            openings = self._fields(OPENINGS, ("seed", "salts"), job)
            places = range(job.first, job.first + job.entries)
            return [self._row(*four) for four in zip(places, leaves, self._texts(job), openings, strict=True)]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            last = job.first + job.entries - 1
            raise Unreadable(f"{self.path}: rows of entries {job.first} to {last}: {str(error)[:120]}") from error

    def stored(self, level: int, start: int, count: int) -> bytes:
        """Hashes of nodes, as the first pass kept them."""
        path = nodes_file(self.survey.nodes, level)
        if not path.exists():
            return b""
        with path.open("rb", buffering=0) as file:
            return os.pread(file.fileno(), count * HASH, start * HASH)

    def _fields(self, table: str, names: Sequence[str], job: Job) -> list[Sequence[bytes] | None]:
        """What rows say in these columns, as it is written."""
        columns, lines = self._lines(table, job)
        if columns is None:
            return [None] * len(lines)
        width, pick = len(columns), itemgetter(*(column(table, columns, name) for name in names))
        return [None if line is None else pick(fields_of(line, width)) for line in lines]

    def _texts(self, job: Job) -> list[Texts | None]:
        """What rows of entries say in the columns that a leaf says too, of those that the dump has; and in private ones."""
        columns, lines = self._lines(ENTRIES, job)
        if columns is None:
            return [None] * len(lines)
        wanted = [name for name in (*COMPARED, *PRIVATE) if name in columns or name not in COMPARED]
        width, pick = len(columns), itemgetter(*(column(ENTRIES, columns, name) for name in wanted))
        return [None if line is None else texts_of(line, width, pick) for line in lines]

    def _lines(self, table: str, job: Job) -> tuple[Sequence[str] | None, Sequence[bytes | None]]:
        """The columns of a table, and its rows of a block; None where there is none."""
        columns = self.survey.columns.get(table)
        if columns is None:
            return None, [None] * job.entries
        return columns, lines_at(self.path, offsets_at(self.survey.places[table], job.first, job.entries))

    def _row(
        self, index: int, leaf: Sequence[bytes] | None, texts: Texts | None, opening: Sequence[bytes] | None
    ) -> Row:
        if leaf is None:
            return Row(index, None)
        if texts is None:
            return Row(index, bytes_of(leaf[0]), bytes_of(leaf[1]), is_gone=ENTRIES in self.survey.columns)
        told = len(texts) - len(PRIVATE)
        shown = _shown(texts[told:], opening) if OPENINGS in self.survey.columns else None
        return Row(index, bytes_of(leaf[0]), bytes_of(leaf[1]), shown, self._compared(texts[:told]))

    def _compared(self, texts: Texts) -> Compared:
        if len(texts) == len(COMPARED):
            return tuple(texts)
        said = iter(texts)
        return tuple(next(said) if name in self.survey.columns[ENTRIES] else ... for name in COMPARED)


def open_dump(path: Path, key: VerifierKey, scratch: Path, pool: Pool) -> Dump:
    """Look through a dump. Raises Unreadable."""
    found = survey(path, scratch, pool)
    if found.repeated[LEAVES]:
        raise Unreadable(f"{path} has entry {min(found.repeated[LEAVES])} more than once")
    newest: Kept | None = None
    for size, root, note in checkpoint_rows(path, found):
        if newest is None or size > (newest.size or 0):
            newest = Kept(f"the head of size {size}", note, size, root)
    try:
        tree = _tree(small_row(path, found, "log_head"))
        state = small_row(path, found, "log_state")
        entries = int(state["size"]) if state else 0
    except (ValueError, KeyError) as error:
        raise Unreadable(f"{path}: log_head or log_state cannot be read") from error
    until = max(tree.size if tree else 0, newest.size or 0 if newest else 0)
    return Dump(path, key, found, newest, tree, cosignature_lines(path, found), entries, until)


def _tree(row: Mapping[str, bytes] | None) -> Claim | None:
    if row is None:
        return None
    root = bytes_of(row["root"])
    if root is None:
        raise ValueError("log_head has no root")
    return Claim("log_head", int(row["size"]), root, bytes_of(row["frontier"]) if "frontier" in row else None)


def _shown(texts: Texts, opening: Sequence[bytes] | None) -> Openings | Seeded:
    """What the database still can open of an entry: a seed opens all, kept salts open their own, nothing else opens."""
    seed = bytes_of(opening[0]) if opening else None
    if (address := texts[_ADDRESS]) is not None:
        texts[_ADDRESS] = _address(address)
    if seed is not None:
        return Seeded(seed, texts)
    kept = text_of(opening[1]) if opening else None
    salts = json.loads(kept) if kept else {}
    found: dict[str, Opening] = {}
    for path, text in zip(PATHS, texts, strict=True):
        salt = strict_base64(salts[path]) if path in salts else None
        # The column takes no null.
        found[path] = salt, None if salt is None and (path, text) == ("/details", "{}") else text, False
    return found


@lru_cache(maxsize=65_536)
def _address(text: str) -> str:
    """An address of Postgres as Python writes it; the same few come again and again."""
    return str(ip_address(text.partition("/")[0]))
