"""The jobs of a schema's exports: asked for, claimed under a lease, checkpointed, ended. Nothing here commits.

Whoever runs a job proves by `worker` that it still may: every statement of a worker names it, and changes nothing
once another has taken the job over or its owner has cancelled it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import orjson

from libs.common.database.engine import Session, driver

State = Literal["queued", "running", "succeeded", "failed", "cancelled", "expired"]
MOST_LISTED = 201

_COLUMNS = (
    "id", "source", "format", "compression", "options::text", "filters::text", "owner_id", "owner_name",
    "correlation_id", "state", "position", "ends", "rows", "bytes", "file", "attempts", "worker", "created_at",
    "started_at", "finished_at", "expires_at", "error::text", "manifest", "signature",
)  # fmt: skip
_JSON = ("options", "filters", "error")
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM exports"
_RETURNING = f"RETURNING {', '.join(_COLUMNS)}"
_CLAIM = f"""
    UPDATE exports SET state = 'running', worker = $1, attempts = attempts + 1,
                       lease_until = clock_timestamp() + make_interval(secs => $2),
                       started_at = coalesce(started_at, clock_timestamp())
    WHERE id = (
        SELECT id FROM exports
        WHERE state = 'queued' OR (state = 'running' AND lease_until < clock_timestamp())
        ORDER BY created_at, id LIMIT 1 FOR UPDATE SKIP LOCKED
    ) {_RETURNING}
"""
_HELD = "WHERE id = $1 AND worker = $2 AND state = 'running'"


@dataclass(frozen=True, slots=True)
class ExportJob:
    """One job. `position` is where the next window begins, `ends` where the last one stops; `bytes` of `file` hold
    exactly the `rows` before `position`."""

    id: UUID
    source: str
    format: str
    compression: str
    options: Mapping[str, Any]
    filters: Mapping[str, Any]
    owner_id: str
    owner_name: str | None
    correlation_id: str | None
    state: State
    position: int
    ends: int | None
    rows: int
    bytes: int
    file: str | None
    attempts: int
    worker: UUID | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    expires_at: datetime | None
    error: Mapping[str, Any] | None
    manifest: str | None
    signature: str | None


@dataclass(frozen=True, slots=True)
class Kept:
    """How many jobs wait or run, and how many of those and of finished files there are; of one owner and in all."""

    active_of_one: int
    kept_of_one: int
    kept: int


async def append(
    session: Session, *, export_id: UUID, source: str, export_format: str, compression: str,
    options: Mapping[str, Any], filters: Mapping[str, Any], owner_id: str, owner_name: str | None,
    correlation_id: str | None,
) -> ExportJob:  # fmt: skip
    """A new job that waits for a worker."""
    row = await driver(session).fetchrow(
        "INSERT INTO exports (id, source, format, compression, options, filters, owner_id, owner_name, correlation_id)"
        f" VALUES ($1, $2, $3, $4, $5::jsonb, $6::jsonb, $7, $8, $9) {_RETURNING}",
        export_id, source, export_format, compression, _text(options), _text(filters), owner_id, owner_name,
        correlation_id,
    )  # fmt: skip
    return _job(row)


async def count_kept(session: Session, owner_id: str) -> Kept:
    """What counts against the limits; whoever asks holds the table's turn until the commit, so that nobody slips by."""
    connection = driver(session)
    await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('reeve.exports.' || current_schema(), 0))")
    row = await connection.fetchrow(
        "SELECT count(*) FILTER (WHERE owner_id = $1 AND state <> 'succeeded') AS active_of_one,"
        " count(*) FILTER (WHERE owner_id = $1) AS kept_of_one, count(*) AS kept"
        " FROM exports WHERE state IN ('queued', 'running', 'succeeded')",
        owner_id,
    )
    return Kept(**row)


async def find(session: Session, export_id: UUID, *, source: str, owner_id: str) -> ExportJob | None:
    """One job of this owner, or None: there is none, or it is another's."""
    row = await driver(session).fetchrow(
        f"{_SELECT} WHERE id = $1 AND source = $2 AND owner_id = $3", export_id, source, owner_id
    )
    return _job(row) if row is not None else None


async def search(
    session: Session, *, source: str, owner_id: str, before: UUID | None, limit: int
) -> Sequence[ExportJob]:
    """An owner's jobs, newest first, those asked for before `before`."""
    rows = await driver(session).fetch(
        f"{_SELECT} WHERE owner_id = $1 AND source = $2 AND ($3::uuid IS NULL OR id < $3) ORDER BY id DESC LIMIT $4",
        owner_id, source, before, min(limit, MOST_LISTED),
    )  # fmt: skip
    return [_job(row) for row in rows]


async def count(session: Session, *, source: str, owner_id: str, most: int) -> int:
    """How many jobs an owner has, counted up to `most`."""
    sql = "SELECT count(*) FROM (SELECT FROM exports WHERE owner_id = $1 AND source = $2 LIMIT $3) AS counted"
    return int(await driver(session).fetchval(sql, owner_id, source, most))


async def end_early(session: Session, export_id: UUID, *, source: str, owner_id: str) -> ExportJob | None:
    """Cancel what waits or runs, and let what succeeded expire now; what has ended otherwise stays. None for no job."""
    row = await driver(session).fetchrow(
        "UPDATE exports SET finished_at = coalesce(finished_at, clock_timestamp()), expires_at = NULL, lease_until = NULL,"
        " state = CASE state WHEN 'queued' THEN 'cancelled' WHEN 'running' THEN 'cancelled'"
        " WHEN 'succeeded' THEN 'expired' ELSE state END"
        f" WHERE id = $1 AND source = $2 AND owner_id = $3 {_RETURNING}",
        export_id, source, owner_id,
    )  # fmt: skip
    return _job(row) if row is not None else None


async def withdraw(session: Session, export_ids: Sequence[UUID]) -> Sequence[ExportJob]:
    """Let these files be gone: those that succeeded expire, which they are told as; those that run begin anew."""
    connection = driver(session)
    await connection.execute(
        "UPDATE exports SET worker = NULL, lease_until = NULL, position = 0, rows = 0, bytes = 0, file = NULL, ends = NULL,"
        " state = 'queued' WHERE state = 'running' AND id = ANY($1::uuid[])",
        list(export_ids),
    )
    rows = await connection.fetch(
        "UPDATE exports SET state = 'expired', expires_at = clock_timestamp()"
        f" WHERE state = 'succeeded' AND id = ANY($1::uuid[]) {_RETURNING}",
        list(export_ids),
    )
    return [_job(row) for row in rows]


async def forget_owner(session: Session, owner_id: str) -> None:
    """Remove an owner's jobs, whatever became of them; nobody needs their files any more."""
    await driver(session).execute("DELETE FROM exports WHERE owner_id = $1", owner_id)


async def live(session: Session) -> Sequence[UUID]:
    """The jobs that write a file or have one."""
    rows = await driver(session).fetch("SELECT id FROM exports WHERE state IN ('running', 'succeeded')")
    return [UUID(int=row["id"].int) for row in rows]


async def claim(session: Session, worker: UUID, *, lease_seconds: float) -> ExportJob | None:
    """The job that has waited longest, or one whose worker stopped renewing its lease; None when there is none."""
    row = await driver(session).fetchrow(_CLAIM, worker, lease_seconds)
    return _job(row) if row is not None else None


async def begin(session: Session, job: ExportJob, *, ends: int, file: str, position: int, rows: int, size: int) -> bool:
    """What this attempt writes and from where. False when the job is not this worker's any more."""
    return await _changed(
        session, job, "ends = $3, file = $4, position = $5, rows = $6, bytes = $7", ends, file, position, rows, size
    )


async def advance(
    session: Session, job: ExportJob, *, position: int, rows: int, size: int, lease_seconds: float
) -> bool:
    """A checkpoint, and the lease renewed. False when the job is not this worker's any more."""
    renewed = "lease_until = clock_timestamp() + make_interval(secs => $6)"
    return await _changed(
        session, job, f"position = $3, rows = $4, bytes = $5, {renewed}", position, rows, size, lease_seconds
    )


async def succeed(
    session: Session, job: ExportJob, *, rows: int, size: int, manifest: str, signature: str, kept_hours: float
) -> bool:
    """The file is whole. False when the job is not this worker's any more."""
    return await _changed(
        session, job,
        "state = 'succeeded', position = ends, rows = $3, bytes = $4, manifest = $5, signature = $6, lease_until = NULL,"
        " finished_at = clock_timestamp(), expires_at = clock_timestamp() + make_interval(secs => $7 * 3600)",
        rows, size, manifest, signature, kept_hours,
    )  # fmt: skip


async def fail(session: Session, job: ExportJob, error: Mapping[str, Any]) -> bool:
    """It ended without a file. False when the job is not this worker's any more."""
    return await _changed(
        session, job, "state = 'failed', error = $3::jsonb, lease_until = NULL, finished_at = clock_timestamp()",
        _text(error),
    )  # fmt: skip


async def release(session: Session, job: ExportJob) -> None:
    """Let the next claim have it at once."""
    await _changed(session, job, "lease_until = clock_timestamp() - interval '1 second'")


async def expire(session: Session) -> Sequence[ExportJob]:
    """Those whose time is over."""
    rows = await driver(session).fetch(
        "UPDATE exports SET state = 'expired' WHERE state = 'succeeded' AND expires_at <= clock_timestamp()"
        f" {_RETURNING}"
    )
    return [_job(row) for row in rows]


async def forget(session: Session, *, days: int) -> None:
    """Remove jobs that ended long ago; the audit log remembers them."""
    await driver(session).execute(
        "DELETE FROM exports WHERE state IN ('failed', 'cancelled', 'expired')"
        " AND finished_at < clock_timestamp() - make_interval(days => $1)",
        days,
    )


async def live_files(session: Session) -> frozenset[str]:
    """The names of the files that some job still needs."""
    rows = await driver(session).fetch(
        "SELECT file FROM exports WHERE state IN ('queued', 'running', 'succeeded') AND file IS NOT NULL"
    )
    return frozenset(row["file"] for row in rows)


async def _changed(session: Session, job: ExportJob, changes: str, *values: object) -> bool:
    done: str = await driver(session).execute(f"UPDATE exports SET {changes} {_HELD}", job.id, job.worker, *values)
    return done == "UPDATE 1"


def _job(row: Any) -> ExportJob:
    found = dict(row)
    for name in _JSON:
        found[name] = orjson.loads(found[name]) if found[name] is not None else None
    for name in ("id", "worker"):
        # The driver has a UUID type of its own.
        found[name] = UUID(int=found[name].int) if found[name] is not None else None
    return ExportJob(**found)


def _text(value: Mapping[str, Any]) -> str:
    return orjson.dumps(value).decode()
