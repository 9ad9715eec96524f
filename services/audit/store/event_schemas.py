"""The schemas that platforms registered for their own types, as this service learned them: a table in its own schema."""

from collections.abc import Mapping, Sequence

from libs.common.database.engine import Session, driver
from libs.common.events.registered import Kept

MOST_DELETED = 1_000
"""Deleted types that are remembered; beyond them the oldest are forgotten."""

_UPSERT = """
    INSERT INTO event_schemas (event_type, version, revision, json_schema) VALUES ($1, $2, $3, $4)
    ON CONFLICT (event_type) DO UPDATE SET version = EXCLUDED.version, revision = EXCLUDED.revision,
        json_schema = EXCLUDED.json_schema, learned_at = clock_timestamp()
    WHERE event_schemas.revision < EXCLUDED.revision
"""
_PRUNE = """
    DELETE FROM event_schemas WHERE event_type IN (
        SELECT event_type FROM event_schemas WHERE json_schema IS NULL ORDER BY revision DESC OFFSET $1
    )
"""
_COLUMNS = "event_type, version, revision, json_schema"


async def upsert(session: Session, learned: Kept) -> None:
    """Remember what holds for a type from now on; what is older than what is known changes nothing."""
    await driver(session).execute(_UPSERT, learned.event_type, learned.version, learned.revision, learned.json_schema)
    if learned.json_schema is None:
        await driver(session).execute(_PRUNE, MOST_DELETED)


async def find(session: Session, event_type: str) -> Kept | None:
    """What is known of a type, or None."""
    row = await driver(session).fetchrow(f"SELECT {_COLUMNS} FROM event_schemas WHERE event_type = $1", event_type)
    return None if row is None else Kept(*row)


async def load_revisions(session: Session) -> Mapping[str, int]:
    """The revision of every known type, deleted ones included."""
    rows = await driver(session).fetch("SELECT event_type, revision FROM event_schemas")
    return {row["event_type"]: row["revision"] for row in rows}


async def load_kept(session: Session, event_types: Sequence[str]) -> list[Kept]:
    """What is judged by of these types."""
    sql = f"SELECT {_COLUMNS} FROM event_schemas WHERE event_type = ANY($1::text[])"
    return [Kept(*row) for row in await driver(session).fetch(sql, list(event_types))]


async def load_last_revision(session: Session) -> int:
    """The number of the newest change that is known; 0 without any."""
    return int(await driver(session).fetchval("SELECT coalesce(max(revision), 0) FROM event_schemas"))
