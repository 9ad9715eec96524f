"""Appending entries: one COPY a batch, each with its place in the log."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from uuid import UUID

import uuid_utils

from libs.common.database.engine import Session, driver
from services.audit.models import Entry

COLUMNS = (
    "sequence", "recorded_at", "id", "event_id", "event_type", "action", "target_type", "target_id", "admin_user_id",
    "admin_username", "actor_type", "outcome", "severity", "details", "changes", "ip_address", "user_agent", "request_id",
    "operation_id", "trace_id", "correlation_id", "source", "producer", "producer_seq", "created_at", "words",
)  # fmt: skip
_SEQUENCE_BITS = (1 << 62) - 1


async def append(session: Session, entries: Sequence[Entry]) -> None:
    """Store entries in order, with gapless sequence numbers from 0; whoever appends holds the log's state row."""
    connection = driver(session)
    first = await connection.fetchval("UPDATE log_state SET size = size + $1 RETURNING size - $1", len(entries))
    now = datetime.now(UTC)
    await connection.copy_records_to_table(
        "entries", columns=COLUMNS, records=[record(entry, first + place, now) for place, entry in enumerate(entries)]
    )


def record(entry: Entry, sequence: int, recorded_at: datetime) -> tuple[object, ...]:
    """The columns of one entry, in the order of `COLUMNS`."""
    return (
        sequence, recorded_at, entry_id(sequence), entry.event_id, entry.event_type, entry.action, entry.target_type,
        entry.target_id, entry.admin_user_id, entry.admin_username, entry.actor_type, entry.outcome, entry.severity,
        entry.details, entry.changes, entry.ip_address, entry.user_agent, entry.request_id, entry.operation_id,
        entry.trace_id, entry.correlation_id, entry.source, entry.producer, entry.producer_seq, entry.created_at,
        entry.words,
    )  # fmt: skip


def entry_id(sequence: int) -> UUID:
    """A new UUIDv7 that carries the sequence in its low 62 bits (RFC 9562, 6.2: a counter there), so that it needs no index."""
    return UUID(int=(uuid_utils.uuid7().int & ~_SEQUENCE_BITS) | sequence)


def sequence_of(entry: UUID) -> int:
    """The sequence that an id of ours carries."""
    return entry.int & _SEQUENCE_BITS


async def add_facets(session: Session, facets: Iterable[tuple[str, str]]) -> None:
    """Remember distinct actions and target types for filters' drop-downs."""
    kinds, values = zip(*sorted(facets), strict=True)
    await driver(session).execute(
        "INSERT INTO facets (kind, value) SELECT * FROM unnest($1::text[], $2::text[]) ON CONFLICT DO NOTHING",
        list(kinds),
        list(values),
    )


async def make_partitions(session: Session, *, months: int) -> int:
    """Make the partitions of this month and the `months` after it that are not there yet; returns how many."""
    return int(await driver(session).fetchval("SELECT make_partitions($1)", months))
