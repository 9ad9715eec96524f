"""Appending entries: one COPY a batch, each with its place in the log."""

from collections.abc import AsyncIterable, AsyncIterator, Iterable
from uuid import UUID

from libs.common.database.engine import Session, driver
from libs.common.ids import new_uuid
from services.audit.models.entries import Entry
from services.audit.models.tallies import Tallies
from services.audit.store import wire

COLUMNS = ("sequence", "id", *Entry._fields)
_SEQUENCE_BITS = 62
_TALLY = """
    INSERT INTO tallies (day, action, outcome, target_type, admin_user_id, count)
    SELECT * FROM unnest($1::date[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[])
    ON CONFLICT (day, action, outcome, target_type, admin_user_id) DO UPDATE SET count = tallies.count + excluded.count
"""


async def append(session: Session, entries: AsyncIterable[Entry], *, count: int) -> int:
    """Store `count` entries in order, with gapless sequence numbers from 0; returns the first.

    Whoever appends holds the log's state row until the commit, so that there is one writer, and sequences become
    visible in their order. `recorded_at` is the database's time at which the batch had its place. Postgres takes in
    what was sent while the next entries are made.
    """
    connection = driver(session)
    await wire.prepare(connection)
    first: int = await connection.fetchval("UPDATE log_state SET size = size + $1 RETURNING size - $1", count)
    places = range(first, first + count)
    await connection.copy_records_to_table("entries", columns=COLUMNS, records=_records(places, entries))
    return first


async def _records(places: range, entries: AsyncIterable[Entry]) -> AsyncIterator[tuple[object, ...]]:
    names = zip(places, entry_ids(places), strict=True)
    async for entry in entries:
        yield *next(names), *entry
    if next(names, None) is not None:
        raise ValueError("fewer entries came than were counted")


def entry_ids(places: range) -> list[str]:
    """A UUIDv7 for each place: of one moment, with the sequence in the low 62 bits.

    RFC 9562, 6.2, allows a counter there. So an entry is found by its id through the index on its sequence.
    """
    moment = new_uuid().int >> _SEQUENCE_BITS << _SEQUENCE_BITS
    return [f"{moment | place:032x}" for place in places]


def sequence_of(entry_id: UUID) -> int:
    """The sequence that an id of ours carries."""
    return entry_id.int & ((1 << _SEQUENCE_BITS) - 1)


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
