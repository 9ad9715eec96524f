"""Whether a row of the table of entries says what its leaf says: searches read the row, proofs are of the leaf."""

from collections.abc import Sequence
from datetime import datetime
from types import EllipsisType

from services.audit.verifier.leaves import Leaf
from services.audit.verifier.ordinary import TOLD

_NAMES = {"entry_id": "id", "type": "event_type"}
"""Members of a leaf whose columns have other names."""
COMPARED = (*(_NAMES.get(name, name) for name in TOLD), "created_at")
"""The columns that say what a leaf says, in the order in which a row gives them."""
Compared = Sequence[str | EllipsisType | None]
"""What a row says in these; `...` for a column that its dump lacks, which is not compared."""


def agree(told: Sequence[object], occurred_at: str, row: Compared) -> bool:
    """Whether a row says the same, its time in the usual form of a dump. Other rows may still say the same."""
    return row[:-1] == told and row[-1] == f"{occurred_at[:10]} {occurred_at[11:-1]}+00"


def difference(leaf: Leaf, row: Compared) -> str | None:
    """Where the two differ, as text; None when they agree."""
    if agree(leaf.told, leaf.occurred_at, row):
        return None
    if row[:-1] != leaf.told:
        for column, here, there in zip(COMPARED, row, leaf.told, strict=False):
            if here is not ... and here != there:
                return _difference(column, here, there)
    created = row[-1]
    if isinstance(created, str) and not _same_moment(created, leaf.occurred_at):
        return _difference("created_at", created, leaf.occurred_at)
    return None


def _difference(column: str, row: object, leaf: object) -> str:
    return f"its row says {column} {str(row)[:60]!r}, its leaf {str(leaf)[:60]!r}"


def _same_moment(row: str, leaf: str) -> bool:
    try:
        return datetime.fromisoformat(row) == datetime.fromisoformat(leaf)
    except (ValueError, TypeError):
        return False
