"""Every event of the platform becomes an entry, in batches, in the order in which it came."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from time import perf_counter

import asyncpg
from prometheus_client import Counter, Gauge, Histogram

from libs.common import logs
from libs.common.database.engine import Database, Session
from libs.common.delivery.arrivals import Arrived
from libs.common.delivery.senders import producer_of
from libs.common.errors import Unavailable
from libs.common.events.all_types import CATALOG
from services.audit.models.entries import OUR_SOURCE, Entry, describe
from services.audit.models.tallies import Tallies, facets_of, tally_of
from services.audit.store import entries as store

MONTHS_AHEAD = 3
PARTITION_SECONDS = 6 * 3600.0
RETRY_SECONDS = 60.0
LEAVES_RETRY_SECONDS = 1.0
MOST_KNOWN_FACETS = 10_000
ENTRIES_PER_TURN = 200
"""Entries made before the event loop serves others; about three milliseconds."""

ENTRIES = Counter("reeve_audit_entries_total", "Entries stored.")
BATCH_SECONDS = Histogram("reeve_audit_batch_seconds", "Time to describe and store one batch of events.")
LAG_SECONDS = Gauge(
    "reeve_audit_lag_seconds",
    "Age of the newest event of Reeve's own in the last batch when it was stored; 0 without one.",
)

log = logs.get("audit")


class Recorder:
    """Records events; knows which facets are stored already, so that nearly no batch has to say them again."""

    def __init__(self) -> None:
        self._facets: set[tuple[str, str]] = set()
        self._uncommitted: set[tuple[str, str]] = set()

    async def record_events(self, session: Session, arrived: Sequence[Arrived]) -> None:
        """Store one entry per event, all in this transaction."""
        started = perf_counter()
        tallies = Tallies()
        await store.append(session, _described(arrived, tallies), count=len(arrived))
        await store.add_tallies(session, tallies)
        self._uncommitted = facets_of(tallies) - self._facets
        if self._uncommitted:
            await store.add_facets(session, self._uncommitted)
        BATCH_SECONDS.observe(perf_counter() - started)

    async def count_stored(self, arrived: Sequence[Arrived]) -> None:
        """The batch has committed: count it, and remember that its facets need not be said again."""
        if len(self._facets) > MOST_KNOWN_FACETS:
            self._facets.clear()
        self._facets |= self._uncommitted
        ENTRIES.inc(len(arrived))
        LAG_SECONDS.set(lag_of(arrived, datetime.now(UTC)))


async def _described(arrived: Sequence[Arrived], tallies: Tallies) -> AsyncIterator[tuple[Entry, bool]]:
    """The entries of the batch, counted into `tallies`, and whether their producers number without gaps; others have
    their turn in between."""
    for number, one in enumerate(arrived, 1):
        entry = describe(one.event, producer=one.producer, catalog=CATALOG)
        tallies[tally_of(entry)] += 1
        yield entry, bool(producer_of(one.message))
        if number % ENTRIES_PER_TURN == 0:
            await asyncio.sleep(0)


def lag_of(arrived: Sequence[Arrived], now: datetime) -> float:
    """Seconds since the newest event of our own; a platform's clock, or its memory of old events, says nothing of us."""
    times = [one.event.time for one in arrived if one.event.source.startswith(OUR_SOURCE)]
    return max(0.0, (now - max(times)).total_seconds()) if times else 0.0


async def give_leaves(database: Database) -> None:
    """Give all entries of an older release their leaves, a batch at a time, before this one records; waits for a database."""
    given = 0
    while True:
        try:
            async with database.transaction() as session:
                count = await store.fill_leaves(session)
        except Unavailable as error:
            log.warning("leaves not made", error=type(error).__name__)
            await asyncio.sleep(LEAVES_RETRY_SECONDS)
            continue
        given += count
        if count == 0:
            break
    if given:
        log.info("older entries have their leaves", count=given)


async def keep_partitions_ahead(database: Database) -> None:
    """Make the partitions of the months to come, now and every six hours, until cancelled.

    Entries do not wait for it: what has no partition yet is stored in the default one.
    """
    while True:
        try:
            async with database.transaction() as session:
                made = await store.make_partitions(session, months=MONTHS_AHEAD)
        except (Unavailable, asyncpg.PostgresError) as error:
            log.warning("partitions not made", error=type(error).__name__)
            await asyncio.sleep(RETRY_SECONDS)
            continue
        if made:
            log.info("partitions made", count=made)
        await asyncio.sleep(PARTITION_SECONDS)
