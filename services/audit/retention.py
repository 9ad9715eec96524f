"""Retention: archives what is old enough, announces in the log what goes, and only then removes it.

Every step can be taken again after a crash: a file is written anew until its row says that it was verified; what is announced
and not removed yet is removed by the next turn; what the database removes it checks by rules of its own. One process
at a time does this.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg
from prometheus_client import Counter, Gauge

from libs.common import logs
from libs.common.crashpoint import crashpoint
from libs.common.database import outbox
from libs.common.database.engine import Database, Session
from libs.common.errors import Unavailable
from libs.common.events.catalog import new_event
from libs.common.events.retention import EntriesPruned, PrunedRange, RetentionRunEnded
from libs.common.ids import new_uuid
from services.audit.archives.archivist import Archivist
from services.audit.archives.place import ArchiveRefused
from services.audit.models.retention import MOST_ARCHIVED, MOST_PRUNED, Span, announcements
from services.audit.store import archives, prunes
from services.audit.store import retention as store
from services.audit.store.archives import Archive
from services.audit.store.prunes import Prune

POLL_SECONDS = 5.0
RETRY_SECONDS = 5.0
WAIT_SECONDS = 0.5
"""Between looks whether a signed head covers what was announced."""
MOST_WAITS = 240
STATEMENT_SECONDS = 120.0

ARCHIVED = Counter("reeve_audit_archived_entries_total", "Entries copied into verified archives.")
PRUNED = Counter("reeve_audit_pruned_entries_total", "Entries removed after their days.")
REFUSED = Gauge("reeve_audit_retention_refuses", "1 while the last run failed: nothing is removed.")

log = logs.get("retention")


@dataclass(frozen=True, slots=True)
class Turn:
    """What one pass has done, and how many announcements wait for a signed head."""

    archived: int
    announced: int
    pruned: int
    waiting: int


class Retention:
    """Runs once a day and when asked. `days` are the environment's, for types without days of their own."""

    def __init__(
        self, database: Database, archivist: Archivist, *, days: int, poll_seconds: float = POLL_SECONDS,
        most_archived: int = MOST_ARCHIVED, most_pruned: int = MOST_PRUNED,
    ) -> None:  # fmt: skip
        self._database = database
        self._archivist = archivist
        self._days = days
        self._poll_seconds = poll_seconds
        self._most_archived = most_archived
        self._most_pruned = most_pruned
        self._asked = asyncio.Event()

    def wake(self) -> None:
        """A run was asked for."""
        self._asked.set()

    async def run(self) -> None:
        """Do what is asked and what is due, until cancelled; a database that is gone is waited for."""
        while True:
            try:
                await self._once()
            except (Unavailable, asyncpg.PostgresError, TimeoutError, OSError) as error:
                # Our own words alone: a database's error may quote rows.
                reason = str(error) if isinstance(error, Unavailable) else ""
                log.warning("retention put off", error=type(error).__name__, reason=reason)
                await asyncio.sleep(RETRY_SECONDS)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._poll_seconds):
                    await self._asked.wait()
            self._asked.clear()

    async def turn(self) -> Turn:
        """Remove what was announced, archive what is old enough, announce what goes. Raises `ArchiveRefused`."""
        waiting, pruned = await self._prune()
        archived = await self._archive()
        announced = await self._announce()
        return Turn(archived, announced, pruned, waiting + announced)

    async def _once(self) -> None:
        """The run whose turn it is, where no other process is at it."""
        async with self._database.reading() as session:
            if not await store.is_wanted(session, self._days):
                return
        connection = await self._database.dedicated()
        try:
            if not await connection.fetchval(prunes.LOCK):
                return
            async with self._database.transaction() as session:
                await store.configure(session, self._days)
                await store.ask_daily(session)
                run = await store.take(session)
            if run is None:
                return
            error = await self._run_through()
            REFUSED.set(error is not None)
            async with self._database.transaction() as session:
                state = "succeeded" if error is None else "failed"
                ended = await store.end(session, run.id, state=state, error=error)
                told = RetentionRunEnded(
                    run_id=str(ended.id), state="succeeded" if error is None else "failed", archived=ended.archived,
                    pruned=ended.pruned, error=error, outcome="success" if error is None else "failure",
                )  # fmt: skip
                severity = "info" if error is None else "error"
                await outbox.emit(session, new_event(told, subject=f"retention_run/{ended.id}", severity=severity))
        finally:
            # With the connection goes the lock.
            connection.terminate()

    async def _run_through(self) -> str | None:
        """Turns until nothing waits; why it ended early, else None."""
        try:
            for _ in range(MOST_WAITS):
                turn = await self.turn()
                if not turn.waiting:
                    return None
                await asyncio.sleep(WAIT_SECONDS)
        except ArchiveRefused as refusal:
            log.error("nothing is removed", reason=str(refusal))
            return str(refusal)[:500]
        return "what is to be removed is announced, and no signed head covers the announcement yet"

    async def _archive(self) -> int:
        """Copy, verify, and keep, one bounded part after the other, up to what is younger than anything may go."""
        count = 0
        while True:
            async with self._database.reading() as session:
                policy = await store.policy(session)
                until = await store.first_within(session, policy.shortest)
                first = await archives.reached(session)
                head = await archives.next_head(session, first=first, until=until, most=self._most_archived)
            if head is None:
                return count
            archive = await self._archivist.write(first=first, head=head)
            async with self._database.transaction() as session:
                await archives.append(session, archive)
                await store.count(session, archived=archive.ends - archive.first)
            crashpoint("retention.after_archive")
            ARCHIVED.inc(archive.ends - archive.first)
            count += archive.ends - archive.first

    async def _announce(self) -> int:
        """Say in the log what goes of each archived part; returns in how many announcements."""
        count = 0
        async with self._database.reading() as session:
            policy = await store.policy(session)
            parts = await archives.before(session, await store.first_within(session, policy.shortest))
        for archive in parts:
            async with self._database.transaction() as session:
                if await prunes.is_open(session, archive.first):
                    continue
                spans = await store.due_spans(
                    session, first=archive.first, ends=archive.ends, timeout_seconds=STATEMENT_SECONDS
                )
                for some in announcements(spans):
                    await _announce(session, archive, some)
                    count += 1
        crashpoint("retention.after_announce")
        return count

    async def _prune(self) -> tuple[int, int]:
        """Remove what is announced under a signed head; returns how many announcements wait for one, and what went."""
        async with self._database.transaction() as session:
            waiting = await prunes.locate(session)
            ready = await prunes.ready(session)
        for first in sorted({prune.archive_first for prune in ready}):
            async with self._database.reading() as session:
                archive = await archives.find(session, first)
            await self._archivist.check(archive)
        gone = await self._drop_months(ready)
        for prune in ready:
            gone += await self._remove(prune)
        return waiting, gone

    async def _drop_months(self, ready: Sequence[Prune]) -> int:
        """Whole months at once, where all that is left of them is announced and may go."""
        gone = 0
        async with self._database.reading() as session:
            months = {
                month for prune in ready for month in await prunes.months(session, first=prune.first, last=prune.last)
            }
        places = [prune.sequence for prune in ready if prune.sequence is not None]
        for month in sorted(months):
            async with self._database.transaction() as session:
                dropped = await prunes.drop_month(session, month, announced=places, timeout_seconds=STATEMENT_SECONDS)
                await store.count(session, pruned=dropped or 0)
            crashpoint("retention.after_month")
            gone += dropped or 0
            PRUNED.inc(dropped or 0)
        return gone

    async def _remove(self, prune: Prune) -> int:
        """A bounded number of rows at a time, until none is left that may go."""
        count = 0
        while True:
            async with self._database.transaction() as session:
                gone = await prunes.remove(session, prune, most=self._most_pruned)
                await store.count(session, pruned=gone)
                if gone < self._most_pruned:
                    await prunes.finish(session, prune)
            crashpoint("retention.after_batch")
            PRUNED.inc(gone)
            count += gone
            if gone < self._most_pruned:
                return count


async def _announce(session: Session, archive: Archive, spans: Sequence[Span]) -> None:
    prune_id = new_uuid()
    told = EntriesPruned(
        prune_id=str(prune_id),
        archive={"first": archive.first, "ends": archive.ends, "file": archive.file, "sha256": archive.sha256.hex()},
        ranges=[PrunedRange(type=span.type, first=span.first, last=span.last) for span in spans],
        count=sum(span.count for span in spans),
    )
    event = new_event(told, subject=f"audit_log/{archive.first}")
    await outbox.emit(session, event)
    await prunes.append(session, prune_id=prune_id, archive_first=archive.first, event_id=event.id, spans=spans)
