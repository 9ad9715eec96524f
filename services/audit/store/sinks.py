"""Sinks: what they are, how far each has come, and who sends for it now."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from libs.common.database.engine import Session, driver
from services.audit.models.sinks import Place, Sink
from services.audit.store.search import SHOWN, Filters, clause, conditions

_COLUMNS = (
    "id, name, target::text, format, filters::text, secret, is_enabled, version, created_by, created_at, updated_at,"
    " cursor, batch_ends, sent, failures, failing_since, is_reported, next_try_at, last_error, last_error_at,"
    " last_synced_at, asked_test, ended_test, test_error, tested_at"
)


async def count(session: Session) -> int:
    """How many there are; whoever asks holds the turn to make one until the commit."""
    connection = driver(session)
    await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('reeve.sinks', 0))")
    return int(await connection.fetchval("SELECT count(*) FROM sinks"))


async def end_of_log(session: Session) -> int:
    """The place behind the last committed entry."""
    return int(await driver(session).fetchval("SELECT size FROM log_state"))


async def append(
    session: Session, *, sink_id: UUID, name: str, target: Mapping[str, Any], sink_format: str,
    filters: Mapping[str, Any], secret: bytes | None, is_enabled: bool, created_by: str, cursor: int,
) -> Sink | None:  # fmt: skip
    """A new one; None when there is one of this name."""
    row = await driver(session).fetchrow(
        "INSERT INTO sinks (id, name, target, format, filters, secret, is_enabled, created_by, cursor)"
        " VALUES ($1, $2, $3::jsonb, $4, $5::jsonb, $6, $7, $8, $9) ON CONFLICT (name) DO NOTHING"
        f" RETURNING {_COLUMNS}",
        sink_id, name, orjson.dumps(target).decode(), sink_format, orjson.dumps(filters).decode(), secret, is_enabled,
        created_by, cursor,
    )  # fmt: skip
    return _sink(row) if row is not None else None


async def find(session: Session, sink_id: UUID, *, for_update: bool = False) -> Sink | None:
    """One of them, or None."""
    lock = " FOR UPDATE" if for_update else ""
    row = await driver(session).fetchrow(f"SELECT {_COLUMNS} FROM sinks WHERE id = $1{lock}", sink_id)
    return _sink(row) if row is not None else None


async def list_all(session: Session) -> Sequence[Sink]:
    """All of them, oldest first."""
    return [_sink(row) for row in await driver(session).fetch(f"SELECT {_COLUMNS} FROM sinks ORDER BY id")]


async def is_name_taken(session: Session, name: str, *, but: UUID) -> bool:
    """Whether another one bears this name."""
    return bool(
        await driver(session).fetchval("SELECT EXISTS (SELECT FROM sinks WHERE name = $1 AND id <> $2)", name, but)
    )


async def replace(
    session: Session, sink_id: UUID, *, name: str, target: Mapping[str, Any], sink_format: str,
    filters: Mapping[str, Any], secret: bytes | None, is_enabled: bool, cursor: int,
) -> Sink:  # fmt: skip
    """Another definition as a new version: tried at once, and its failures are forgotten."""
    row = await driver(session).fetchrow(
        "UPDATE sinks SET name = $2, target = $3::jsonb, format = $4, filters = $5::jsonb, secret = $6, is_enabled = $7,"
        " cursor = $8, version = version + 1, updated_at = clock_timestamp(), batch_ends = NULL, failures = 0,"
        " failing_since = NULL, is_reported = false, next_try_at = NULL, last_error = NULL, last_error_at = NULL"
        f" WHERE id = $1 RETURNING {_COLUMNS}",
        sink_id, name, orjson.dumps(target).decode(), sink_format, orjson.dumps(filters).decode(), secret, is_enabled,
        cursor,
    )  # fmt: skip
    return _sink(row)


async def delete(session: Session, sink_id: UUID) -> None:
    """Remove one."""
    await driver(session).execute("DELETE FROM sinks WHERE id = $1", sink_id)


async def ask_test(session: Session, sink_id: UUID, test_id: UUID) -> None:
    """Have whoever sends for it send a test."""
    await driver(session).execute("UPDATE sinks SET asked_test = $2 WHERE id = $1", sink_id, test_id)


async def claim(session: Session, sink_id: UUID, *, holder: UUID, lease_seconds: float) -> Sink | None:
    """Send for a sink from now on, or go on to; None while another does, or when there is none any more."""
    row = await driver(session).fetchrow(
        "UPDATE sinks SET holder = $2, held_until = clock_timestamp() + $3 * interval '1 second'"
        " WHERE id = $1 AND (holder = $2 OR holder IS NULL OR held_until < clock_timestamp())"
        f" RETURNING {_COLUMNS}",
        sink_id, holder, lease_seconds,
    )  # fmt: skip
    return _sink(row) if row is not None else None


async def release(session: Session, sink_id: UUID, *, holder: UUID) -> None:
    """Let another send for it."""
    await driver(session).execute(
        "UPDATE sinks SET holder = NULL, held_until = NULL WHERE id = $1 AND holder = $2", sink_id, holder
    )


async def begin_batch(session: Session, sink: Sink, *, holder: UUID, ends: int) -> bool:
    """Fix what the next attempts send; False when the sink changed, or another has it."""
    return await _changed(session, sink, holder, "batch_ends = $4", ends)


async def rest(session: Session, sink: Sink, *, holder: UUID, until: datetime) -> bool:
    """Look again then: a batch waits to become full."""
    return await _changed(session, sink, holder, "next_try_at = $4", until)


async def advance(session: Session, sink: Sink, *, holder: UUID, ends: int, count: int) -> bool:
    """What was sent was confirmed (`count` entries; 0 where the filters found none up to `ends`)."""
    synced = "last_synced_at = clock_timestamp(), failures = 0, failing_since = NULL, is_reported = false,"
    return await _changed(
        session, sink, holder,
        f"cursor = $4, batch_ends = NULL, sent = sent + $5, {synced if count else ''} next_try_at = NULL", ends, count,
    )  # fmt: skip


async def fail(
    session: Session, sink: Sink, *, holder: UUID, error: str, pause_seconds: float, is_reported: bool, is_gone: bool
) -> bool:
    """What was sent was not confirmed; a sink whose receiver wants nothing more is switched off."""
    return await _changed(
        session, sink, holder,
        "failures = failures + 1, failing_since = coalesce(failing_since, clock_timestamp()), last_error = $4,"
        " last_error_at = clock_timestamp(), next_try_at = clock_timestamp() + $5 * interval '1 second',"
        " is_reported = $6, is_enabled = is_enabled AND NOT $7, version = version + CASE WHEN $7 THEN 1 ELSE 0 END",
        error, pause_seconds, is_reported, is_gone,
    )  # fmt: skip


async def end_test(session: Session, sink: Sink, *, error: str | None) -> None:
    """How the test ended that was asked for."""
    await driver(session).execute(
        "UPDATE sinks SET ended_test = $2, test_error = $3, tested_at = clock_timestamp() WHERE id = $1",
        sink.id, sink.asked_test, error,
    )  # fmt: skip


async def places(session: Session, filters: Filters, *, start: int, stop: int, most: int) -> Sequence[Place]:
    """The first entries from `start` to before `stop` that the filters find, in order, with their bytes."""
    where, values = _window(filters, start, stop)
    size = "coalesce(octet_length(details::text), 0) + coalesce(octet_length(changes::text), 0)"
    rows = await driver(session).fetch(
        f"SELECT sequence, {size} AS size, created_at FROM entries{clause(where)} ORDER BY sequence LIMIT {int(most)}",
        *values,
    )
    return [Place(row["sequence"], row["size"], row["created_at"]) for row in rows]


async def read(session: Session, filters: Filters, *, start: int, stop: int) -> list[asyncpg.Record]:
    """The entries of a batch that was chosen by its places, in order, as records of `SHOWN`."""
    where, values = _window(filters, start, stop)
    query = f"SELECT {', '.join(SHOWN)} FROM entries{clause(where)} ORDER BY sequence"
    return list(await driver(session).fetch(query, *values))


def _window(filters: Filters, start: int, stop: int) -> tuple[list[str], list[object]]:
    where, values = conditions(filters)
    values += [start, stop]
    return [*where, f"sequence >= ${len(values) - 1}", f"sequence < ${len(values)}"], values


async def _changed(session: Session, sink: Sink, holder: UUID, assignments: str, *values: object) -> bool:
    done = await driver(session).execute(
        f"UPDATE sinks SET {assignments} WHERE id = $1 AND holder = $2 AND version = $3",
        sink.id, holder, sink.version, *values,
    )  # fmt: skip
    return bool(done == "UPDATE 1")


def _sink(row: Any) -> Sink:
    found = dict(row)
    for name in ("target", "filters"):
        found[name] = orjson.loads(found[name])
    for name in ("id", "asked_test", "ended_test"):
        found[name] = UUID(int=found[name].int) if found[name] is not None else None
    return Sink(**found)
