"""Redactions: whose data is to be erased and how far that is, the entries that it touches, and the one way to erase."""

from binascii import b2a_base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from libs.common.database.engine import Session, driver
from libs.common.ids import new_uuid
from services.audit.models.commitments import PATHS, private_values, salt_of
from services.audit.models.leaves import SPOKEN_OUT
from services.audit.models.redactions import ACTS_AS_ADMIN, Found, Subject, lost_by, words_left
from services.audit.store.leaves import ENTRY_COLUMNS, entry_from

MOST_COUNTED = 10_000
_COLUMNS = (
    "id, subject_type, subject_id, reason, requested_by, operation_id, correlation_id, state, position, ends,"
    " planned::text AS planned, announced, entries, exports, held_by, created_at, finished_at"
)
_CONCERNED = (
    f"((admin_user_id = $2 AND $1 = '{ACTS_AS_ADMIN}') OR (target_type = $1 AND target_id = $2))"
    " AND event_type <> ALL($3::text[])"
)
NEVER = sorted(SPOKEN_OUT)
"""Types whose entries no redaction touches: what the log says of itself, to everybody."""

Plan = Mapping[int, Sequence[str]]
"""Paths to erase, by sequence, in ascending order."""


@dataclass(frozen=True, slots=True)
class Redaction:
    """One job. `position` is where the next look begins, `ends` where the last one stops; what is `planned` is announced
    in the log by the events `announced` before it is done."""

    id: UUID
    subject_type: str
    subject_id: str
    reason: str
    requested_by: str | None
    operation_id: str | None
    correlation_id: str | None
    state: str
    position: int
    ends: int
    planned: Plan
    announced: Sequence[str]
    entries: int
    exports: int
    held_by: Sequence[str]
    created_at: datetime
    finished_at: datetime | None

    @property
    def subject(self) -> Subject:
        """Whom it is about."""
        return Subject(self.subject_type, self.subject_id)


async def start(
    session: Session, subject: Subject, *, reason: str, requested_by: str | None, operation_id: str | None,
    correlation_id: str | None, after_seconds: float = 0.0,
) -> tuple[Redaction, bool]:  # fmt: skip
    """A job over the log as it is now, and whether it is new; one of this subject that has not ended goes on so far, and
    begins no later than this one would have."""
    row = await driver(session).fetchrow(
        "INSERT INTO redactions (id, subject_type, subject_id, reason, requested_by, operation_id, correlation_id, ends,"
        " next_at) SELECT $1, $2, $3, $4, $5, $6, $7, size, clock_timestamp() + make_interval(secs => $8) FROM log_state"
        " ON CONFLICT (subject_type, subject_id) WHERE state <> 'succeeded'"
        " DO UPDATE SET ends = excluded.ends, next_at = least(redactions.next_at, excluded.next_at)"
        f" RETURNING {_COLUMNS}",
        made := new_uuid(), subject.type, subject.id, reason, requested_by, operation_id, correlation_id, after_seconds,
    )  # fmt: skip
    found = _redaction(row)
    return found, found.id == made


async def count_live(session: Session) -> int:
    """How many have not ended; whoever asks holds the turn until the commit, so that nobody slips by."""
    connection = driver(session)
    await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('reeve.audit.redactions', 0))")
    return int(await connection.fetchval("SELECT count(*) FROM redactions WHERE state <> 'succeeded'"))


async def find(session: Session, redaction_id: UUID) -> Redaction | None:
    """One job, or None."""
    row = await driver(session).fetchrow(f"SELECT {_COLUMNS} FROM redactions WHERE id = $1", redaction_id)
    return None if row is None else _redaction(row)


async def search(session: Session, *, before: UUID | None, skip: int, limit: int) -> Sequence[Redaction]:
    """The newest first."""
    rows = await driver(session).fetch(
        f"SELECT {_COLUMNS} FROM redactions WHERE $1::uuid IS NULL OR id < $1 ORDER BY id DESC LIMIT $2 OFFSET $3",
        before, limit, skip,
    )  # fmt: skip
    return [_redaction(row) for row in rows]


async def count(session: Session) -> int:
    """How many there are, counted up to one more than a list says exactly."""
    sql = f"SELECT count(*) FROM (SELECT FROM redactions LIMIT {MOST_COUNTED + 1}) AS counted"
    return int(await driver(session).fetchval(sql))


async def concerned(session: Session, subject: Subject) -> int:
    """How many entries tell of the subject, redacted or not, counted up to one more than `MOST_COUNTED`."""
    sql = f"SELECT count(*) FROM (SELECT FROM entries WHERE {_CONCERNED} LIMIT {MOST_COUNTED + 1}) AS counted"
    return int(await driver(session).fetchval(sql, subject.type, subject.id, NEVER))


async def take(session: Session) -> Redaction | None:
    """The job that waits longest for its next step, locked until the commit; None when nothing is to be done now."""
    row = await driver(session).fetchrow(
        f"SELECT {_COLUMNS} FROM redactions WHERE state <> 'succeeded' AND next_at <= clock_timestamp()"
        " ORDER BY next_at, id LIMIT 1 FOR UPDATE SKIP LOCKED"
    )
    return None if row is None else _redaction(row)


async def begin(session: Session, job: Redaction) -> Redaction:
    """It runs, over all that is in the log by now."""
    row = await driver(session).fetchrow(
        "UPDATE redactions SET state = 'running', held_by = '{}',"
        f" ends = CASE state WHEN 'queued' THEN (SELECT size FROM log_state) ELSE ends END WHERE id = $1 RETURNING {_COLUMNS}",
        job.id,
    )
    return _redaction(row)


async def hold(session: Session, job: Redaction, holds: Sequence[str], *, seconds: float) -> None:
    """It waits, for these holds, and is looked at again later."""
    await driver(session).execute(
        "UPDATE redactions SET state = 'held', held_by = $2, next_at = clock_timestamp() + make_interval(secs => $3)"
        " WHERE id = $1",
        job.id, list(holds), seconds,
    )  # fmt: skip


async def rest(session: Session, job: Redaction, *, seconds: float) -> None:
    """It is looked at again later."""
    sql = "UPDATE redactions SET next_at = clock_timestamp() + make_interval(secs => $2) WHERE id = $1"
    await driver(session).execute(sql, job.id, seconds)


async def window(session: Session, job: Redaction, *, stop: int, most: int) -> Sequence[Found]:
    """Up to `most` entries that tell of the subject, from the job's position to before `stop`, in order."""
    rows = await driver(session).fetch(
        f"SELECT sequence, redactions::text AS redactions, {ENTRY_COLUMNS} FROM entries"
        f" WHERE sequence >= $4 AND sequence < $5 AND {_CONCERNED} ORDER BY sequence LIMIT $6",
        job.subject_type, job.subject_id, NEVER, job.position, stop, most,
    )  # fmt: skip
    return [_found(row) for row in rows]


async def save_plan(session: Session, job: Redaction, *, position: int, plan: Plan, announced: Sequence[str]) -> None:
    """What is to be erased next, where the look after it begins, and the events that announce it."""
    text = orjson.dumps([[place, list(paths)] for place, paths in plan.items()]).decode() if plan else None
    await driver(session).execute(
        "UPDATE redactions SET position = $2, planned = $3::jsonb, announced = $4 WHERE id = $1",
        job.id, position, text, list(announced),
    )  # fmt: skip


async def is_announced(session: Session, job: Redaction) -> bool:
    """Whether every event that announces the plan is an entry of the log."""
    found = await driver(session).fetchval(
        "SELECT count(DISTINCT event_id) FROM entries WHERE target_type = 'redaction' AND target_id = $1"
        " AND event_id = ANY($2::text[])",
        str(job.id), list(job.announced),
    )  # fmt: skip
    return bool(found == len(job.announced))


async def erase(session: Session, job: Redaction) -> int:
    """Destroy what is planned: values, words, and what opens their commitments; returns of how many entries."""
    connection = driver(session)
    rows = await connection.fetch(
        f"SELECT entries.sequence, seed, redactions::text AS redactions, {ENTRY_COLUMNS}"
        " FROM entries JOIN log_openings USING (sequence) WHERE entries.sequence = ANY($1::bigint[]) ORDER BY 1",
        list(job.planned),
    )
    erasures = [_erasure(row, job.planned[row["sequence"]]) for row in rows]
    done = await connection.fetchval("SELECT erase_members($1, $2::jsonb)", job.id, orjson.dumps(erasures).decode())
    await connection.execute(
        "UPDATE redactions SET planned = NULL, announced = '{}', entries = entries + $2 WHERE id = $1", job.id, done
    )
    return int(done)


async def finish(session: Session, job: Redaction, *, exports: int) -> None:
    """It has come to its end; names that are kept outside of the log go as well."""
    connection = driver(session)
    if job.subject_type == ACTS_AS_ADMIN:
        for table in ("saved_searches", "exports"):
            await connection.execute(f"UPDATE {table} SET owner_name = NULL WHERE owner_id = $1", job.subject_id)
        # Nobody else ever saw these, and nobody will.
        await connection.execute("DELETE FROM saved_searches WHERE owner_id = $1 AND NOT is_shared", job.subject_id)
    await connection.execute(
        "UPDATE redactions SET state = 'succeeded', finished_at = clock_timestamp(), exports = $2 WHERE id = $1",
        job.id, exports,
    )  # fmt: skip


async def oldest_age_seconds(session: Session) -> float:
    """How long the oldest job has not ended; 0 without one."""
    sql = "SELECT extract(epoch FROM clock_timestamp() - min(created_at)) FROM redactions WHERE state <> 'succeeded'"
    return float(await driver(session).fetchval(sql) or 0.0)


def _erasure(row: asyncpg.Record, paths: Sequence[str]) -> dict[str, Any]:
    entry, seed = entry_from(row), row["seed"]
    salts: dict[str, str] = {}
    if seed is not None:
        for path, value in zip(PATHS, private_values(entry), strict=True):
            if value is not None and path not in paths:
                salts[path] = _base64(salt_of(seed, path))
    return {
        "sequence": row["sequence"], "paths": list(paths), "words": words_left(entry, paths), "salts": salts,
    }  # fmt: skip


def _found(row: asyncpg.Record) -> Found:
    return Found(row["sequence"], entry_from(row), lost_by(row["redactions"]))


def _redaction(row: Any) -> Redaction:
    found = dict(row)
    plan = {int(place): paths for place, paths in orjson.loads(found["planned"] or "[]")}
    return Redaction(**{**found, "id": UUID(int=found["id"].int), "planned": plan})


def _base64(content: bytes) -> str:
    return b2a_base64(content, newline=False).decode()
