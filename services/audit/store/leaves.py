"""Leaves and their seeds: added with their entries, read by the sequencer, for proofs and for tiles."""

from collections.abc import AsyncIterator, Sequence
from uuid import UUID

import asyncpg

from libs.common.database.engine import Session, driver
from libs.common.delivery.senders import SERVICES
from services.audit.models.entries import Entry
from services.audit.models.leaves import Leaf, instant, leaf_of, seeds_for, sequence_of
from services.audit.store import wire

LEAVES_PER_BATCH = 2_000
"""Entries of an older release that get their leaves in one round trip."""

ENTRY_COLUMNS = (
    "event_id, event_type, action, target_type, target_id, admin_user_id, admin_username, actor_type, actor_id, outcome,"
    " severity, details::text AS details, changes::text AS changes, host(ip_address) AS ip_address, user_agent,"
    " request_id, operation_id, trace_id, correlation_id, source, producer, producer_seq, created_at"
)


async def append(session: Session, leaves: Sequence[Leaf]) -> None:
    """Store leaves and their seeds, in the transaction of their entries: two COPYs, of bytes that are made here."""
    connection = driver(session)
    await connection.copy_to_table(
        "log_leaves", columns=("sequence", "body", "leaf_hash"), format="binary", source=_once(wire.leaf_rows(leaves))
    )
    await connection.copy_to_table(
        "log_openings", columns=("sequence", "seed"), format="binary", source=_once(wire.seed_rows(leaves))
    )


async def _once(content: bytes) -> AsyncIterator[bytes]:
    yield content


async def find(session: Session, entry_id: UUID) -> Leaf | None:
    """The leaf of an entry, pruned or not, without its seed; None where there never was such an entry."""
    sql = """
        SELECT sequence, body, leaf_hash FROM log_leaves
        WHERE sequence = $1 AND convert_from(body, 'UTF8')::json ->> 'entry_id' = $2
    """
    row = await driver(session).fetchrow(sql, sequence_of(entry_id), str(entry_id))
    return None if row is None else Leaf(row["sequence"], row["body"], row["leaf_hash"], b"")


async def reach(session: Session) -> int:
    """The sequence that the next leaf must have."""
    return int(await driver(session).fetchval("SELECT coalesce(max(sequence) + 1, 0) FROM log_leaves"))


async def fill(session: Session, *, until: int, most: int = LEAVES_PER_BATCH) -> int:
    """Give up to `most` entries before `until` that have no leaf yet theirs, in order; returns how many.

    For entries that an older release stored, as far as none of them is missing. The caller holds the log's state row, so
    that nobody appends meanwhile.
    """
    connection = driver(session)
    first = await reach(session)
    rows = await connection.fetch(
        f"SELECT sequence, id::text AS id, recorded_at, {ENTRY_COLUMNS} FROM entries"
        " WHERE sequence >= $1 AND sequence < $2 ORDER BY sequence",
        first,
        min(until, first + most),
    )
    there = [row for place, row in enumerate(rows, first) if row["sequence"] == place]
    if there:
        await append(session, [_of(row, seed) for row, seed in zip(there, seeds_for(len(there)), strict=True)])
    return len(there)


async def were_ever_made(session: Session, *, since: int) -> bool:
    """Whether there ever was a leaf at or behind this place: seeds stay when a leaf goes."""
    return bool(await driver(session).fetchval("SELECT EXISTS (SELECT FROM log_openings WHERE sequence >= $1)", since))


def _of(row: asyncpg.Record, seed: bytes) -> Leaf:
    return leaf_of(
        entry_from(row),
        index=row["sequence"],
        entry_id=row["id"],
        received_at=instant(row["recorded_at"]),
        is_numbered=row["producer"] in SERVICES,
        seed=seed,
    )


def entry_from(row: asyncpg.Record) -> Entry:
    """The entry that a row of `ENTRY_COLUMNS` holds, without its words."""
    return Entry(**{name: row[name] for name in Entry._fields if name != "words"}, words=[])
