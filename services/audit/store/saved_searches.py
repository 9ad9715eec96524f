"""Searches that administrators keep: one's own, and those that others share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from libs.common.database.engine import Session, driver
from libs.common.ids import new_uuid

_COLUMNS = "id, owner_id, owner_name, name, filters::text, is_shared, created_at"
_VISIBLE = "(owner_id = $1 OR is_shared)"


@dataclass(frozen=True, slots=True)
class SavedSearch:
    """One search under its name."""

    id: UUID
    owner_id: str
    owner_name: str | None
    name: str
    filters: Mapping[str, Any]
    is_shared: bool
    created_at: datetime


async def count_of(session: Session, owner_id: str) -> int:
    """How many an administrator keeps; whoever asks holds their turn until the commit, so that nobody slips by."""
    connection = driver(session)
    await connection.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended('reeve.saved_searches.' || $1, 0))", owner_id
    )
    return int(await connection.fetchval("SELECT count(*) FROM saved_searches WHERE owner_id = $1", owner_id))


async def append(
    session: Session, *, owner_id: str, owner_name: str | None, name: str, filters: Mapping[str, Any], is_shared: bool
) -> SavedSearch | None:
    """A new one; None when its owner has one of this name."""
    row = await driver(session).fetchrow(
        "INSERT INTO saved_searches (id, owner_id, owner_name, name, filters, is_shared)"
        f" VALUES ($1, $2, $3, $4, $5::jsonb, $6) ON CONFLICT (owner_id, name) DO NOTHING RETURNING {_COLUMNS}",
        new_uuid(), owner_id, owner_name, name, orjson.dumps(filters).decode(), is_shared,
    )  # fmt: skip
    return _search(row) if row is not None else None


async def find(session: Session, search_id: UUID, *, reader_id: str) -> SavedSearch | None:
    """One that this reader may see, or None."""
    row = await driver(session).fetchrow(
        f"SELECT {_COLUMNS} FROM saved_searches WHERE {_VISIBLE} AND id = $2", reader_id, search_id
    )
    return _search(row) if row is not None else None


async def search(
    session: Session, *, reader_id: str, before: UUID | None, skip: int, limit: int
) -> Sequence[SavedSearch]:
    """Those that this reader may see, newest first."""
    rows = await driver(session).fetch(
        f"SELECT {_COLUMNS} FROM saved_searches WHERE {_VISIBLE} AND ($2::uuid IS NULL OR id < $2)"
        " ORDER BY id DESC LIMIT $3 OFFSET $4",
        reader_id, before, limit, skip,
    )  # fmt: skip
    return [_search(row) for row in rows]


async def count_visible(session: Session, *, reader_id: str, most: int) -> int:
    """How many this reader may see, counted up to `most`."""
    sql = f"SELECT count(*) FROM (SELECT FROM saved_searches WHERE {_VISIBLE} LIMIT $2) AS counted"
    return int(await driver(session).fetchval(sql, reader_id, most))


async def delete(session: Session, search_id: UUID, *, owner_id: str) -> None:
    """Remove one of its owner's."""
    await driver(session).execute("DELETE FROM saved_searches WHERE id = $1 AND owner_id = $2", search_id, owner_id)


def _search(row: Any) -> SavedSearch:
    found = dict(row)
    return SavedSearch(**{**found, "id": UUID(int=found["id"].int), "filters": orjson.loads(found["filters"])})
