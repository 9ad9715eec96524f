"""How long entries are kept, and what of them is past its days."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from libs.common.database.engine import Session, driver
from libs.common.ids import new_uuid
from services.audit.models.retention import Policy, Span

_DUE = """
    SELECT e.sequence, e.event_type, is_held(e) AS is_held
    FROM entries AS e CROSS JOIN retention AS r LEFT JOIN retention_types AS t ON t.event_type = e.event_type
    CROSS JOIN LATERAL (SELECT now() - make_interval(days => coalesce(t.days, r.default_days, r.configured_days)) AS since,
        coalesce(t.days, r.default_days, r.configured_days) >= (
            SELECT max(days) FROM (SELECT coalesce(r.default_days, r.configured_days) AS days
                                   UNION ALL SELECT days FROM retention_types) AS every
        ) AS is_longest) AS d
    WHERE e.recorded_at < d.since AND (NOT d.is_longest OR e.tableoid = 'entries_default'::regclass
        OR (date_trunc('month', e.recorded_at AT TIME ZONE 'UTC') + interval '1 month') AT TIME ZONE 'UTC' <= d.since)
"""
"""What is past its days. What is kept longest goes by the month, since then all of its partition goes at once. The database
asks again, by rules of its own, when something is removed."""
_DUE_BY_TYPE = f"""
    SELECT event_type, count(*) FILTER (WHERE NOT is_held) AS due, count(*) FILTER (WHERE is_held) AS held
    FROM ({_DUE}) AS due GROUP BY event_type ORDER BY event_type
"""
_SPANS = f"""
    WITH going AS ({_DUE} AND e.sequence >= $1 AND e.sequence < $2 AND NOT is_held(e)),
    islands AS (
        SELECT e.event_type, e.sequence, g.sequence IS NOT NULL AS goes,
               row_number() OVER (PARTITION BY e.event_type ORDER BY e.sequence)
               - row_number() OVER (PARTITION BY e.event_type, g.sequence IS NOT NULL ORDER BY e.sequence) AS island
        FROM entries AS e LEFT JOIN going AS g USING (sequence) WHERE e.sequence >= $1 AND e.sequence < $2
    )
    SELECT event_type AS type, min(sequence) AS first, max(sequence) AS last, count(*) AS count
    FROM islands WHERE goes GROUP BY event_type, island ORDER BY first, type
"""
_THERE = """
    SELECT count(*) AS there, (SELECT count(*) FROM ({due}) AS going) AS due
    FROM entries WHERE sequence >= $1 AND sequence < $2
""".format(due=f"{_DUE} AND e.sequence >= $1 AND e.sequence < $2 AND NOT is_held(e)")
_RUN = "id, state, asked_by, archived, pruned, error, created_at, finished_at"


@dataclass(frozen=True, slots=True)
class Run:
    """One run, asked for by an administrator or by the schedule."""

    id: UUID
    state: str
    asked_by: str | None
    archived: int
    pruned: int
    error: str | None
    created_at: datetime
    finished_at: datetime | None


async def configure(session: Session, days: int) -> None:
    """Keep what the environment says where the database sees it."""
    await driver(session).execute("UPDATE retention SET configured_days = $1 WHERE configured_days <> $1", days)


async def policy(session: Session, *, locked: bool = False) -> Policy:
    """The rules as they are; `locked` until the end of the transaction."""
    connection = driver(session)
    row = await connection.fetchrow(
        "SELECT configured_days, default_days, version, updated_at, updated_by FROM retention"
        + (" FOR UPDATE" if locked else "")
    )
    types = await connection.fetch("SELECT event_type, days FROM retention_types ORDER BY event_type")
    return Policy(**row, types={one["event_type"]: one["days"] for one in types})


async def change(session: Session, *, default_days: int | None, types: Mapping[str, int], by: str) -> None:
    """Other rules; the caller has locked them."""
    connection = driver(session)
    await connection.execute(
        "UPDATE retention SET default_days = $1, version = version + 1, updated_at = clock_timestamp(), updated_by = $2",
        default_days, by,
    )  # fmt: skip
    await connection.execute("DELETE FROM retention_types")
    await connection.execute(
        "INSERT INTO retention_types (event_type, days) SELECT * FROM unnest($1::text[], $2::integer[])",
        list(types), list(types.values()),
    )  # fmt: skip


async def due_by_type(session: Session, *, timeout_seconds: float) -> Sequence[Mapping[str, Any]]:
    """Of each event type, how many entries are past their days, and how many of those are held."""
    rows = await driver(session).fetch(_DUE_BY_TYPE, timeout=timeout_seconds)
    return [dict(row) for row in rows]


async def due_spans(session: Session, *, first: int, ends: int, timeout_seconds: float) -> Sequence[Span]:
    """What may go of the places `first` to before `ends`: one span where all that is there may, else spans by type."""
    connection = driver(session)
    row = await connection.fetchrow(_THERE, first, ends, timeout=timeout_seconds)
    if row["due"] == row["there"]:
        return [Span(None, first, ends - 1, row["there"])] if row["there"] else []
    return [Span(**one) for one in await connection.fetch(_SPANS, first, ends, timeout=timeout_seconds)]


async def first_within(session: Session, days: int) -> int:
    """The first place of an entry that is no older than so many days; the log's size when there is none."""
    sql = """
        SELECT coalesce(min(sequence), (SELECT size FROM log_state)) FROM entries
        WHERE recorded_at >= now() - make_interval(days => $1)
    """
    return int(await driver(session).fetchval(sql, days))


async def ask(session: Session, by: str | None) -> Run:
    """A run that waits for its turn, or the one that waits or runs already."""
    connection = driver(session)
    await connection.execute(
        "INSERT INTO retention_runs (id, asked_by) VALUES ($1, $2) ON CONFLICT DO NOTHING", new_uuid(), by
    )
    return _run(await connection.fetchrow(f"SELECT {_RUN} FROM retention_runs WHERE state IN ('queued', 'running')"))


async def is_wanted(session: Session, days: int) -> bool:
    """Whether there is something to do, or the schedule would ask; `days` are the environment's."""
    sql = """
        SELECT EXISTS (SELECT FROM retention_runs WHERE state IN ('queued', 'running'))
            OR NOT EXISTS (SELECT FROM retention_runs WHERE created_at > now() - interval '1 day')
            OR EXISTS (SELECT FROM retention WHERE configured_days <> $1)
    """
    return bool(await driver(session).fetchval(sql, days))


async def ask_daily(session: Session) -> None:
    """The schedule asks when nobody has for a day."""
    sql = "SELECT NOT EXISTS (SELECT FROM retention_runs WHERE created_at > now() - interval '1 day')"
    if await driver(session).fetchval(sql):
        await ask(session, None)


async def take(session: Session) -> Run | None:
    """The run whose turn it is, or that a crash left running."""
    row = await driver(session).fetchrow(
        f"UPDATE retention_runs SET state = 'running' WHERE state IN ('queued', 'running') RETURNING {_RUN}"
    )
    return None if row is None else _run(row)


async def count(session: Session, *, archived: int = 0, pruned: int = 0) -> None:
    """Add to the run that is under way."""
    await driver(session).execute(
        "UPDATE retention_runs SET archived = archived + $1, pruned = pruned + $2 WHERE state = 'running'",
        archived, pruned,
    )  # fmt: skip


async def end(session: Session, run_id: UUID, *, state: str, error: str | None) -> Run:
    """It is over."""
    row = await driver(session).fetchrow(
        "UPDATE retention_runs SET state = $2, error = $3, finished_at = clock_timestamp() WHERE id = $1"
        f" RETURNING {_RUN}",
        run_id, state, error,
    )  # fmt: skip
    return _run(row)


async def runs(session: Session, most: int) -> Sequence[Run]:
    """The newest first."""
    rows = await driver(session).fetch(f"SELECT {_RUN} FROM retention_runs ORDER BY created_at DESC LIMIT $1", most)
    return [_run(row) for row in rows]


def _run(row: Any) -> Run:
    found = dict(row)
    return Run(**{**found, "id": UUID(int=found["id"].int)})
