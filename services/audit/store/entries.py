"""Appending entries with their leaves: one COPY a batch for each, and each entry with its place in the log."""

from collections.abc import AsyncIterable, AsyncIterator, Iterable
from uuid import UUID

from libs.common.database.engine import Session, driver
from libs.common.ids import new_uuid
from services.audit.models.entries import Entry
from services.audit.models.leaves import SEQUENCE_BITS, Leaf, leaf_of, now, seeds_for
from services.audit.models.tallies import Tallies
from services.audit.store import leaves, wire

COLUMNS = ("sequence", "id", *Entry._fields)
_TAKE_PLACES = """
    UPDATE log_state SET size = size + $1
    RETURNING size - $1 AS first, (SELECT coalesce(max(sequence) + 1, 0) FROM log_leaves) AS reached
"""
_TALLY = """
    INSERT INTO tallies (day, action, outcome, target_type, admin_user_id, count)
    SELECT * FROM unnest($1::date[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[])
    ON CONFLICT (day, action, outcome, target_type, admin_user_id) DO UPDATE SET count = tallies.count + excluded.count
"""


async def append(session: Session, entries: AsyncIterable[tuple[Entry, bool]], *, count: int) -> int:
    """Store `count` entries in order, with gapless sequence numbers from 0, and their leaves; returns the first number.

    Each entry comes with whether its producer numbers without gaps. Whoever appends holds the log's state row until the
    commit, so that there is one writer, and sequences become visible in their order. `recorded_at` is the database's
    time at which the batch had its place. Postgres takes in what was sent while the next entries are made.
    """
    connection = driver(session)
    await wire.prepare(connection)
    taken = await connection.fetchrow(_TAKE_PLACES, count)
    first: int = taken["first"]
    if taken["reached"] < first:
        await _catch_up(session, until=first)
    made: list[Leaf] = []
    records = _records(range(first, first + count), entries, made)
    await connection.copy_records_to_table("entries", columns=COLUMNS, records=records)
    await leaves.append(session, made)
    return first


async def fill_leaves(session: Session) -> int:
    """Give some of the entries that have no leaf theirs, as `leaves.fill` does; returns how many, 0 once all have one."""
    size = await driver(session).fetchval("SELECT size FROM log_state FOR UPDATE")
    return await leaves.fill(session, until=size)


async def _catch_up(session: Session, *, until: int) -> None:
    """An older release, still running beside this one, appended after all older entries had been given their leaves."""
    while await leaves.fill(session, until=until):
        pass


async def _records(
    places: range, entries: AsyncIterable[tuple[Entry, bool]], made: list[Leaf]
) -> AsyncIterator[tuple[object, ...]]:
    names = zip(places, entry_ids(places), seeds_for(len(places)), strict=True)
    received_at = now()
    async for entry, is_numbered in entries:
        place, name, seed = next(names)
        made.append(
            leaf_of(entry, index=place, entry_id=name, received_at=received_at, is_numbered=is_numbered, seed=seed)
        )
        yield place, name, *entry
    if next(names, None) is not None:
        raise ValueError("fewer entries came than were counted")


def entry_ids(places: range) -> list[str]:
    """A UUIDv7 for each place: of one moment, with the sequence in the low 62 bits.

    RFC 9562, 6.2, allows a counter there. So an entry is found by its id through the index on its sequence.
    """
    moment = str(UUID(int=new_uuid().int >> SEQUENCE_BITS << SEQUENCE_BITS))[: len("xxxxxxxx-xxxx-7xxx-")]
    # The variant's two bits and the counter's upper fourteen, then its lower 48.
    return [f"{moment}{0x8000 | place >> 48:04x}-{place & 0xFFFFFFFFFFFF:012x}" for place in places]


async def add_tallies(session: Session, tallies: Tallies) -> None:
    """Count entries by day, each with the others that count alike."""
    if tallies:
        columns = [list(column) for column in zip(*sorted(tallies), strict=True)]
        await driver(session).execute(_TALLY, *columns, [tallies[tally] for tally in sorted(tallies)])


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
