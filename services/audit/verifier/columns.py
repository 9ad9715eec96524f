"""Whether a row of the table of entries says what its leaf says: searches read the row, proofs are of the leaf."""

from collections.abc import Mapping
from datetime import datetime
from operator import itemgetter

from services.audit.verifier.leaves import Leaf

SAME = {
    "id": "entry_id", "event_id": "event_id", "event_type": "type", "action": "action", "outcome": "outcome",
    "severity": "severity", "source": "source", "producer": "producer", "request_id": "request_id",
    "operation_id": "operation_id", "trace_id": "trace_id",
}  # fmt: skip
"""Columns, and the members of a leaf that say the same."""
_COLUMNS, _SAID = itemgetter(*SAME), itemgetter(*SAME.values())
INSIDE = {"actor_type": ("actor", "type"), "target_type": ("target", "type"), "target_id": ("target", "id")}


def difference(leaf: Leaf, row: Mapping[str, str | None]) -> str | None:
    """Where the two differ, as text; None when they agree. Columns that a dump lacks are not compared."""
    said = leaf.all
    if not row.keys() >= SAME.keys() or _COLUMNS(row) != _SAID(said):
        for column, member in SAME.items():
            if column in row and row[column] != said[member]:
                return _told(column, row[column], said[member])
    for column, (member, part) in INSIDE.items():
        inner = said[member]
        value = inner.get(part) if isinstance(inner, dict) else None
        if column in row and row[column] != value:
            return _told(column, row[column], value)
    created = row.get("created_at")
    if created is not None and not _same_moment(created, leaf.occurred_at):
        return _told("created_at", created, leaf.occurred_at)
    return None


def _told(column: str, row: object, leaf: object) -> str:
    return f"its row says {column} {str(row)[:60]!r}, its leaf {str(leaf)[:60]!r}"


def _same_moment(row: str, leaf: str) -> bool:
    if row.endswith("+00"):  # the usual form of a dump; anything else is worth the parsing
        seconds, _, fraction = row[:-3].partition(".")
        if f"{seconds.replace(' ', 'T')}.{fraction.ljust(6, '0')}Z" == leaf:
            return True
    try:
        return datetime.fromisoformat(row) == datetime.fromisoformat(leaf)
    except (ValueError, TypeError):
        return False
