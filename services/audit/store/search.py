"""Finding entries: filters, keyset pages in the order of time, capped counts."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from libs.common.database.engine import Session, driver
from services.audit.models import tokens
from services.audit.store.entries import sequence_of

MOST_COUNTED = 10_001

SHOWN = (
    "id::text AS id", "sequence", "event_id", "event_type", "action", "target_type", "target_id", "admin_user_id",
    "admin_username", "actor_type", "outcome", "severity", "details::text AS details", "changes::text AS changes",
    "host(ip_address) AS ip_address", "user_agent", "request_id", "operation_id", "trace_id", "source", "created_at",
    "recorded_at",
)  # fmt: skip
_SELECT = f"SELECT {', '.join(SHOWN)} FROM entries"
EXACT = (
    "action",
    "target_type",
    "target_id",
    "admin_user_id",
    "outcome",
    "severity",
    "source",
    "request_id",
    "operation_id",
)


@dataclass(frozen=True, slots=True)
class Filters:
    """What is sought; several values of one name mean any of them."""

    exact: dict[str, list[str]] = field(default_factory=dict)
    networks: Sequence[str] = ()
    date_from: datetime | None = None
    date_to: datetime | None = None
    words: str | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page begins: after this entry in the order of time."""

    created_at: datetime
    sequence: int


async def search(
    session: Session, filters: Filters, *, newest_first: bool, after: Place | None, skip: int, limit: int
) -> list[Any]:
    """A page of entries as records of `SHOWN`."""
    where, values = _where(filters)
    if after is not None:
        values += [after.created_at, after.sequence]
        where.append(f"(created_at, sequence) {'<' if newest_first else '>'} (${len(values) - 1}, ${len(values)})")
    direction = "DESC" if newest_first else "ASC"
    values += [limit, skip]
    sql = (
        f"{_SELECT}{_clause(where)} ORDER BY created_at {direction}, sequence {direction}"
        f" LIMIT ${len(values) - 1} OFFSET ${len(values)}"
    )
    return list(await driver(session).fetch(sql, *values))


async def count(session: Session, filters: Filters) -> int:
    """How many entries fit, counted up to 10,001."""
    where, values = _where(filters)
    sql = f"SELECT count(*) FROM (SELECT FROM entries{_clause(where)} LIMIT {MOST_COUNTED}) AS counted"
    return int(await driver(session).fetchval(sql, *values))


async def find(session: Session, entry: UUID) -> Any | None:
    """One entry as a record of `SHOWN`, or None."""
    return await driver(session).fetchrow(f"{_SELECT} WHERE sequence = $1 AND id = $2", sequence_of(entry), entry)


async def facet_values(session: Session, kind: str) -> list[str]:
    """The distinct values of a kind of facet, in order."""
    rows = await driver(session).fetch("SELECT value FROM facets WHERE kind = $1 ORDER BY value", kind)
    return [row["value"] for row in rows]


async def counts(session: Session, column: str, filters: Filters, *, most: int = 100) -> list[Any]:
    """Counts per value of a column (or per day), largest first (days in order)."""
    where, values = _where(filters)
    if column == "day":
        sql = (
            "SELECT to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD') AS value, count(*) AS count FROM entries"
            f"{_clause(where)} GROUP BY 1 ORDER BY 1"
        )
        return list(await driver(session).fetch(sql, *values))
    values.append(most)
    sql = (
        f"SELECT {column} AS value, count(*) AS count FROM entries{_clause([*where, f'{column} IS NOT NULL'])}"
        f" GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT ${len(values)}"
    )
    return list(await driver(session).fetch(sql, *values))


def words_query(text: str) -> str:
    """The tsquery of a search text: every word must be there, a leading `-` means that it must not. Quoted by us."""
    parts = []
    for term in text.split():
        negated = term.startswith("-")
        for token in tokens(term)[:1]:
            quoted = token.replace("\\", "").replace("'", "")
            parts.append(f"{'!' if negated else ''}'{quoted}'")
    return " & ".join(parts)


def _where(filters: Filters) -> tuple[list[str], list[Any]]:
    where: list[str] = []
    values: list[Any] = []

    def add(condition: str, value: Any) -> None:
        values.append(value)
        where.append(condition.format(f"${len(values)}"))

    for name, wanted in filters.exact.items():
        if len(wanted) == 1:
            add(f"{name} = {{}}", wanted[0])
        else:
            add(f"{name} = ANY({{}}::text[])", wanted)
    if filters.networks:
        conditions = []
        for network in filters.networks:
            values.append(network)
            conditions.append(f"ip_address <<= ${len(values)}::text::inet")
        where.append(f"({' OR '.join(conditions)})")
    if filters.date_from is not None:
        add("created_at >= {}", filters.date_from)
    if filters.date_to is not None:
        add("created_at < {}", filters.date_to)
    if filters.words and (query := words_query(filters.words)):
        add("array_to_tsvector(words) @@ {}::text::tsquery", query)
    return where, values


def _clause(where: Sequence[str]) -> str:
    return f" WHERE {' AND '.join(where)}" if where else ""
