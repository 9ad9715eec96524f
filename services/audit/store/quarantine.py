"""The quarantine: those dead letters of the audit service whose events did not fit the schema of their type.

It stands where a subscriber keeps its dead letters (`Letters`), and is kept in the same rows: one mechanism. What is
quarantined does not grow old; it goes only when it was replayed, or when there are more than `MOST_WAITING`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from libs.common.database import dead_letters
from libs.common.database.dead_letters import DeadLetter
from libs.common.database.engine import Session, driver
from libs.common.delivery.senders import INVALID, UNKNOWN_TYPE
from libs.common.events.envelope import Event, MalformedEvent, decode_message
from libs.common.web.paging import MOST_COUNT

MOST_WAITING = 1_000_000
"""Misfits that wait; beyond them the oldest go, long after the alert."""
REPLAY = "POST /api/v1/admin/audit/quarantine/{id}/replay"

_COLUMNS = (
    "id, type, event_type, source, sender, producer, reason, body, headers::text AS headers, content_type, message_id,"
    " received_at, last_seen_at, sightings, replays, last_reason, replayed_at, entry_sequence"
)
_DESCRIBE = """
    UPDATE dead_letters SET source = told.source, event_type = told.event_type, producer = told.producer
    FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[]) AS told (id, source, event_type, producer)
    WHERE dead_letters.id = told.id AND is_misfit
"""
_SEEN_AGAIN = """
    UPDATE dead_letters SET last_seen_at = clock_timestamp(), sightings = sightings + 1
    WHERE is_misfit AND message_id = ANY($1::text[])
"""
_PRUNE = """
    DELETE FROM dead_letters WHERE id IN (
        SELECT id FROM (
            SELECT id, received_at, row_number() OVER (ORDER BY received_at DESC, id DESC) AS newest FROM dead_letters
            WHERE NOT is_misfit OR replayed_at IS NOT NULL
        ) AS ranked
        WHERE newest > $1 OR received_at < now() - make_interval(secs => $2 * 86400)
    ) RETURNING 1
"""
_PRUNE_WAITING = """
    DELETE FROM dead_letters WHERE id IN (
        SELECT id FROM dead_letters WHERE is_misfit AND replayed_at IS NULL ORDER BY received_at DESC OFFSET $1
    ) RETURNING 1
"""


@dataclass(frozen=True, slots=True)
class Quarantined:
    """One event that did not fit, as it came; `body` are its bytes, `last_reason` why its last replay failed."""

    id: UUID
    type: str | None
    event_type: str | None
    source: str | None
    sender: str | None
    producer: str
    reason: str
    body: bytes
    headers: str
    content_type: str | None
    message_id: str | None
    received_at: datetime
    last_seen_at: datetime
    sightings: int
    replays: int
    last_reason: str | None
    replayed_at: datetime | None
    entry_sequence: int | None

    def events(self) -> Sequence[Event]:
        """What the bytes say. Raises `MalformedEvent`."""
        return decode_message(self.content_type, orjson.loads(self.headers), self.body, trusted=bool(self.producer))


@dataclass(frozen=True, slots=True)
class Sought:
    """What of the quarantine is asked for; None asks for all."""

    event_type: str | None = None
    kind: str | None = None
    """What the reason begins with."""
    source: str | None = None
    is_waiting: bool | None = None


async def append(session: Session, letters: Sequence[DeadLetter]) -> None:
    """Keep these letters, and of misfits what they are looked for by."""
    await dead_letters.append(session, letters)
    if letters:
        told = [(one.id, *_source_and_type(one), one.producer) for one in letters]
        await driver(session).execute(_DESCRIBE, *[list(column) for column in zip(*told, strict=True)])


async def note_repetition(session: Session, letters: Sequence[DeadLetter]) -> None:
    """These were sent again: count it."""
    ids = [one.message_id for one in letters if one.message_id]
    if ids:
        await driver(session).execute(_SEEN_AGAIN, ids)


async def prune(session: Session, *, most_rows: int, older_than_days: float) -> int:
    """Bound the dead letters, by number and age; misfits that wait by number alone."""
    connection = driver(session)
    gone = await connection.fetch(_PRUNE, most_rows, older_than_days)
    return len(gone) + len(await connection.fetch(_PRUNE_WAITING, MOST_WAITING))


def elsewhere() -> Mapping[str, str]:
    """What is quarantined is replayed by the API: it keeps its row, which says what became of it."""
    return {f"{UNKNOWN_TYPE}:": REPLAY, f"{INVALID}:": REPLAY}


async def search(
    session: Session, sought: Sought, *, before: UUID | None, skip: int, limit: int
) -> Sequence[Quarantined]:
    """The newest first."""
    where, values = _conditions(sought)
    values += [before, limit, skip]
    number = len(values)
    rows = await driver(session).fetch(
        f"SELECT {_COLUMNS} FROM dead_letters WHERE {where} AND (${number - 2}::uuid IS NULL OR id < ${number - 2})"
        f" ORDER BY id DESC LIMIT ${number - 1} OFFSET ${number}",
        *values,
    )
    return [_quarantined(row) for row in rows]


async def count(session: Session, sought: Sought) -> int:
    """How many there are, counted up to one more than a list says exactly."""
    where, values = _conditions(sought)
    sql = f"SELECT count(*) FROM (SELECT FROM dead_letters WHERE {where} LIMIT {MOST_COUNT + 1}) AS counted"
    return int(await driver(session).fetchval(sql, *values))


async def count_waiting(session: Session) -> int:
    """How many were not replayed, counted as `count` does."""
    return await count(session, Sought(is_waiting=True))


async def find(session: Session, quarantine_id: UUID) -> Quarantined | None:
    """One of them, or None."""
    sql = f"SELECT {_COLUMNS} FROM dead_letters WHERE is_misfit AND id = $1"
    row = await driver(session).fetchrow(sql, quarantine_id)
    return None if row is None else _quarantined(row)


async def find_locked(session: Session, quarantine_id: UUID) -> Quarantined | None:
    """The same, and nobody else replays it until the commit."""
    sql = f"SELECT {_COLUMNS} FROM dead_letters WHERE is_misfit AND id = $1 FOR UPDATE"
    row = await driver(session).fetchrow(sql, quarantine_id)
    return None if row is None else _quarantined(row)


async def save_failure(session: Session, quarantine_id: UUID, reason: str) -> None:
    """A replay failed, and why."""
    sql = "UPDATE dead_letters SET replays = replays + 1, last_reason = $2 WHERE id = $1"
    await driver(session).execute(sql, quarantine_id, reason[:500])


async def save_replay(session: Session, quarantine_id: UUID) -> Quarantined:
    """The event is the newest entry of the log, by this transaction."""
    row = await driver(session).fetchrow(
        "UPDATE dead_letters SET replays = replays + 1, last_reason = NULL, replayed_at = clock_timestamp(),"
        f" entry_sequence = (SELECT size - 1 FROM log_state) WHERE id = $1 RETURNING {_COLUMNS}",
        quarantine_id,
    )
    return _quarantined(row)


def _source_and_type(letter: DeadLetter) -> tuple[str | None, str | None]:
    try:
        [event] = decode_message(letter.content_type, letter.headers, letter.body, trusted=bool(letter.producer))
    except (MalformedEvent, ValueError):
        return None, letter.type
    return event.source, event.type


def _conditions(sought: Sought) -> tuple[str, list[Any]]:
    where, values = ["is_misfit"], []
    for condition, value in (
        ("event_type = ${}", sought.event_type), ("starts_with(reason, ${} || ':')", sought.kind),
        ("source = ${}", sought.source), ("(replayed_at IS NULL) = ${}", sought.is_waiting),
    ):  # fmt: skip
        if value is not None:
            values.append(value)
            where.append(condition.format(len(values)))
    return " AND ".join(where), values


def _quarantined(row: asyncpg.Record) -> Quarantined:
    return Quarantined(**{**row, "id": UUID(int=row["id"].int)})
