"""The sequencer: takes leaves into the tree in their order, every 50 ms or 4,000 at a time.

Several may run: the head's row is the fence. Whoever holds it reads the tree from it and nowhere else, so one that was
paused and comes back grows the tree that is there, or its transaction comes to nothing; it cannot fork.
A missing leaf stops the tree before it, with an alert, until it is there.
"""

import asyncio
import contextlib
import time
from datetime import UTC, datetime

import asyncpg
from prometheus_client import Counter, Gauge

from libs.common import logs
from libs.common.crashpoint import crashpoint
from libs.common.database import outbox
from libs.common.database.engine import Database, Session
from libs.common.errors import Unavailable
from libs.common.events.audit import LogHeartbeat
from libs.common.events.catalog import new_event
from libs.common.events.platform import CriticalError
from services.audit.log.tree import grow
from services.audit.models.leaves import OWN_SOURCE
from services.audit.store import entries, heartbeat, leaves, tree
from services.audit.store.tree import LogState

MOST_LEAVES = 4_000
"""Leaves in one transaction."""
PAUSE_SECONDS = 0.05
POLL_SECONDS = 1.0
"""How long news of another process may go unnoticed; of this process's own entries it hears at once."""
RETRY_SECONDS = 1.0
HEARTBEAT_SECONDS = 60.0

TREE_SIZE = Gauge("reeve_audit_tree_size", "Leaves in the tree.")
UNSEQUENCED = Gauge("reeve_audit_unsequenced_leaves", "Entries whose leaves are not in the tree yet.")
HEAD_AGE = Gauge(
    "reeve_audit_head_age_seconds", "Seconds since the newest checkpoint was signed; before the first, since the start."
)
HALTED = Gauge("reeve_audit_log_halted", "1 while a missing leaf stops the tree.")
LEAVES = Counter("reeve_audit_sequenced_leaves_total", "Leaves taken into the tree by this process.")

log = logs.get("sequencer")


class Sequencer:
    """Grows the stored tree for ever."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._news = asyncio.Event()
        self._hole: int | None = None
        self._next_beat = 0.0
        self._started = datetime.now(UTC)

    def wake(self) -> None:
        """Entries were committed."""
        self._news.set()

    async def run(self) -> None:
        """Take in what comes until cancelled; a database that is gone is waited for."""
        while True:
            try:
                state = await self._measured()
                if state.entries > state.size and await self.turn(state.entries) == MOST_LEAVES:
                    continue
                await self._beat()
            except (Unavailable, asyncpg.PostgresError, TimeoutError) as error:
                log.warning("leaves not sequenced", error=type(error).__name__)
                await asyncio.sleep(RETRY_SECONDS)
                continue
            await self._rest()

    async def turn(self, stored: int = 0) -> int:
        """One transaction: the leaves that follow go into the tree; returns how many. `stored` entries must have theirs."""
        async with self._database.transaction() as session:
            frontier = await tree.locked_frontier(session)
            found = await tree.pending(session, after=frontier.size, most=MOST_LEAVES)
            reached = frontier.size + len(found.hashes)
            hole = found.hole
            if hole is None and reached < min(stored, frontier.size + MOST_LEAVES):
                hole = await self._mended(session, reached)
            if found.hashes:
                await tree.store_growth(session, *grow(frontier, found.hashes))
                crashpoint("seq.before_commit")
            await self._judge(session, hole)
        self._hole = hole
        HALTED.set(hole is not None)
        LEAVES.inc(len(found.hashes))
        return len(found.hashes)

    async def _mended(self, session: Session, reached: int) -> int | None:
        """Leaves lack at the end: an older release beside this one stores entries without, and then they are made; else
        the first that lacks."""
        if await leaves.were_ever_made(session, since=reached):
            return reached
        return None if await entries.fill_leaves(session) else reached

    async def _judge(self, session: Session, hole: int | None) -> None:
        """Raise the alarm over a hole, once."""
        if hole is None or hole == self._hole:
            return
        log.error("a leaf is missing; the tree ends before it", sequence=hole)
        told = CriticalError(
            error_type="audit_log_hole",
            system="audit log",
            error_message=f"leaf {hole} is missing: the tree cannot grow, and entries after it have no proof",
        )
        await outbox.emit(session, new_event(told, subject=f"audit_log/{hole}", source=OWN_SOURCE, severity="critical"))

    async def _beat(self) -> None:
        """Once a minute, say in the log itself how far every producer was heard."""
        if time.monotonic() < self._next_beat:
            return
        self._next_beat = time.monotonic() + POLL_SECONDS
        async with self._database.transaction() as session:
            if await heartbeat.take(session, every_seconds=HEARTBEAT_SECONDS):
                heard = LogHeartbeat(producers=await heartbeat.heard(session), at=datetime.now(UTC))
                await outbox.emit(session, new_event(heard, subject="audit_log"))

    async def _measured(self) -> LogState:
        async with self._database.reading() as session:
            found = await tree.state(session)
        TREE_SIZE.set(found.size)
        UNSEQUENCED.set(found.entries - found.size)
        signed_at = found.signed_at or self._started
        HEAD_AGE.set(max(0.0, (datetime.now(UTC) - signed_at).total_seconds()))
        return found

    async def _rest(self) -> None:
        """Until entries come, at the longest a second; then a moment longer, so that more come along."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(POLL_SECONDS):
                await self._news.wait()
        self._news.clear()
        await asyncio.sleep(PAUSE_SECONDS)
