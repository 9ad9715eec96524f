"""What every kind of input gives: heads, rows by the block, and the hashes of nodes that it keeps."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

from services.audit.verifier.columns import Compared
from services.audit.verifier.lines import Piece
from services.audit.verifier.notes import VerifierKey
from services.audit.verifier.openings import Openings, Seeded
from services.audit.verifier.receipts import Receipt

BLOCK = 1024
"""Entries that are read and checked at once: a multiple of 256, so that a block has whole tiles."""
NODE_LEVELS = range(8, 64, 8)
"""Heights of the subtrees whose hashes are stored; tile level L of tlog-tiles has those of height 8 * L."""
HASH = 32
ABSENT = bytes(HASH)
"""In the place of a stored hash: there is none."""


class Row(NamedTuple):
    """One entry as it is kept. `data` is None when it is missing; `stored` is its kept leaf hash, if one is kept."""

    place: int
    data: bytes | None
    stored: bytes | None = None
    openings: Openings | Seeded | None = None
    table: Compared | None = None
    """What the table of entries says beside the leaf."""
    lost: str | None = None
    """What else should be kept of the entry and is not there."""
    is_gone: bool = False
    """Its row in the table of entries is not there: pruned, if the log says so."""


class Job(NamedTuple):
    """One block: the place of its first entry (a file knows it only by counting), how many it has, and, from a file, its lines
    or where they are."""

    first: int
    entries: int
    payload: list[bytes] | Piece | None = None
    cuts: Sequence[int] = ()
    """Tree sizes within the block whose roots are wanted."""


class Kept(NamedTuple):
    """A signed note that the input keeps, and what it says beside it, if anything."""

    label: str
    note: str
    size: int | None = None
    root: bytes | None = None


class Claim(NamedTuple):
    """Size and root that the input keeps unsigned: of the tree as the database knows it, or in an export's first line."""

    label: str
    size: int
    root: bytes
    frontier: bytes | None = None


class Source(Protocol):
    """A log to be verified. It is handed to other processes, so it holds paths and numbers, and no open files."""

    @property
    def first(self) -> int:
        """Index of the first entry that it has."""
        ...

    @property
    def left(self) -> Sequence[bytes]:
        """Hashes of the full subtrees left of the first entry, largest first."""
        ...

    @property
    def key(self) -> VerifierKey:
        """The key that signs this log's heads."""
        ...

    @property
    def nodes_until(self) -> int:
        """The tree size up to which it keeps the hashes of nodes; 0 when it keeps none."""
        ...

    @property
    def keeps_unsigned(self) -> bool:
        """Whether it may have entries that no head covers yet."""
        ...

    def total(self) -> int:
        """Entries that are to be expected, for the progress bar."""
        ...

    def head(self) -> Kept | None:
        """The newest signed note."""
        ...

    def older(self) -> Iterator[Kept]:
        """The other notes that are kept."""
        ...

    def counted(self) -> int:
        """How many entries it says it has, signed or not."""
        ...

    def claims(self) -> list[Claim]:
        """What is claimed without a signature."""
        ...

    def receipts(self) -> list[Receipt]:
        """Promises to take an event into the log."""
        ...

    def jobs(self) -> Iterator[Job]:
        """All blocks, in the order of their entries."""
        ...

    def rows(self, job: Job) -> list[Row]:
        """The entries of a block; those that are known to be missing with `data` None."""
        ...

    def stored(self, level: int, start: int, count: int) -> bytes:
        """Kept hashes of `count` nodes of a height from index `start`; ABSENT where there is none."""
        ...

    def notices(self) -> list[str]:
        """What this input does not have, so that it cannot be checked."""
        ...
