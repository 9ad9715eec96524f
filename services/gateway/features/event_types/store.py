"""Every SQL statement about registered types.

A change takes its revision by updating the one row of the clock, and so has it to itself until its transaction ends.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Row, text

from libs.common.database.engine import Session
from libs.common.events.registered import Kept
from services.gateway.features.event_types.models import MOST_DELETED, RegisteredType, Registration

_VERSION = """
    SELECT v.*, t.deleted_at IS NOT NULL AS is_deleted FROM event_types AS t JOIN event_type_versions AS v USING (event_type)
"""
_PRUNE = """
    DELETE FROM event_types WHERE event_type IN (
        SELECT event_type FROM event_types WHERE deleted_at IS NOT NULL ORDER BY deleted_at DESC, revision DESC OFFSET :most
    )
"""


async def next_revision(session: Session) -> int:
    """The number of this change; nobody else changes a type until the transaction ends."""
    moved = await session.execute(text("UPDATE event_types_clock SET revision = revision + 1 RETURNING revision"))
    return int(moved.scalar_one())


async def find(session: Session, event_type: str) -> RegisteredType | None:
    """The newest version of a type, also of a deleted one, or None."""
    sql = text(f"{_VERSION} WHERE event_type = :event_type AND v.version = t.version")
    row = (await session.execute(sql, {"event_type": event_type})).one_or_none()
    return _type(row) if row is not None else None


async def load_all(session: Session) -> list[RegisteredType]:
    """Every type that has a schema, by name; their number is bounded where they are made."""
    sql = text(f"{_VERSION} WHERE deleted_at IS NULL AND v.version = t.version ORDER BY event_type")
    return [_type(row) for row in await session.execute(sql)]


async def count(session: Session) -> int:
    """How many types have a schema."""
    return int((await session.execute(text("SELECT count(*) FROM event_types WHERE deleted_at IS NULL"))).scalar_one())


async def search_versions(session: Session, event_type: str, *, skip: int, limit: int) -> list[RegisteredType]:
    """The versions of a type, the newest first."""
    sql = text(f"{_VERSION} WHERE event_type = :event_type ORDER BY v.version DESC OFFSET :skip LIMIT :limit")
    return [_type(row) for row in await session.execute(sql, {"event_type": event_type, "skip": skip, "limit": limit})]


async def count_versions(session: Session, event_type: str) -> int:
    """How many versions there are of a type."""
    sql = text("SELECT count(*) FROM event_type_versions WHERE event_type = :event_type")
    return int((await session.execute(sql, {"event_type": event_type})).scalar_one())


async def append_version(
    session: Session, event_type: str, new: Registration, *, version: int, revision: int, source: str,
    narrows: Sequence[str], registered_by: str,
) -> RegisteredType:  # fmt: skip
    """The next version of a type, which holds from now on; also of one that was deleted."""
    put = text(
        "INSERT INTO event_types (event_type, version, revision) VALUES (:event_type, :version, :revision)"
        " ON CONFLICT (event_type) DO UPDATE SET version = EXCLUDED.version, revision = EXCLUDED.revision, deleted_at = NULL"
    )
    await session.execute(put, {"event_type": event_type, "version": version, "revision": revision})
    added = text(
        "INSERT INTO event_type_versions"
        " (event_type, version, source, description, json_schema, example, narrows, registered_by)"
        " VALUES (:event_type, :version, :source, :description, :json_schema, :example, :narrows, :registered_by)"
        " RETURNING *, false AS is_deleted"
    )
    values = {
        "event_type": event_type, "version": version, "source": source, "description": new.description,
        "json_schema": new.json_schema, "example": new.example, "narrows": list(narrows), "registered_by": registered_by,
    }  # fmt: skip
    return _type((await session.execute(added, values)).one())


async def mark_deleted(session: Session, event_type: str, *, revision: int) -> None:
    """The type has no schema any more; its versions stay, and of deleted types the oldest go."""
    sql = "UPDATE event_types SET deleted_at = clock_timestamp(), revision = :revision WHERE event_type = :event_type"
    await session.execute(text(sql), {"event_type": event_type, "revision": revision})
    await session.execute(text(_PRUNE), {"most": MOST_DELETED})


async def load_revisions(session: Session) -> Mapping[str, int]:
    """The revision of every type, deleted ones included."""
    rows = await session.execute(text("SELECT event_type, revision FROM event_types"))
    return {row.event_type: row.revision for row in rows}


async def load_kept(session: Session, event_types: Sequence[str]) -> list[Kept]:
    """What is judged by of these types."""
    sql = text(
        "SELECT t.event_type, t.version, t.revision, CASE WHEN t.deleted_at IS NULL THEN v.json_schema END AS json_schema"
        " FROM event_types AS t JOIN event_type_versions AS v USING (event_type, version) WHERE event_type = ANY(:names)"
    )
    return [Kept(*row) for row in await session.execute(sql, {"names": list(event_types)})]


async def load_revision(session: Session) -> int:
    """The number of the last change; the clock itself also counted what changed nothing."""
    return int((await session.execute(text("SELECT coalesce(max(revision), 0) FROM event_types"))).scalar_one())


def _type(row: Row[Any]) -> RegisteredType:
    return RegisteredType(
        event_type=row.event_type, version=row.version, source=row.source, description=row.description,
        json_schema=row.json_schema, example=row.example, narrows=tuple(row.narrows), registered_by=row.registered_by,
        registered_at=row.registered_at, is_deleted=row.is_deleted,
    )  # fmt: skip
