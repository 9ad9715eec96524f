"""Anchoring: each anchor is given the newest signed head every so often, by itself, and waits longer after a failure.

Anchors in step are all given the same one: the newest of those that were signed before the last beat of a common clock.
Nothing here is waited for by the signer. What was anchored is a row, so a restart goes on from it; after a crash the same head
may be given again.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence

import asyncpg
from prometheus_client import Counter, Gauge

from libs.common import logs
from libs.common.crashpoint import crashpoint
from libs.common.database.engine import Database, Session
from libs.common.errors import Unavailable
from services.audit.anchors.anchor import MOST_REASON, Anchor, AnchorFailed
from services.audit.store import anchors as store
from services.audit.store import checkpoints, cosignatures
from services.audit.store.checkpoints import StoredCheckpoint

MOST_RETRY_SECONDS = 300.0
RETRY_SECONDS = 1.0
MOST_LATE_SECONDS = 1.0

SIZE = Gauge("reeve_audit_anchored_size", "Size of the last head that an anchor keeps.", ["anchor"])
BACKLOG = Gauge(
    "reeve_audit_anchor_backlog", "Entries under the newest signed head that no anchored head covers.", ["anchor"]
)
CONTRADICTS = Gauge(
    "reeve_audit_anchor_contradicts",
    "1 from when an anchor knew another log under this name until it keeps a head again.",
    ["anchor"],
)
FAILURES = Counter("reeve_audit_anchor_failures_total", "Heads that an anchor did not keep at once.", ["anchor"])

log = logs.get("anchors")


class Anchoring:
    """Gives heads to anchors, at most one each `seconds`.

    `in_step` is for anchors that must know the same heads, though each is served by itself, in whichever process.
    """

    def __init__(self, database: Database, anchors: Sequence[Anchor], *, seconds: float, in_step: bool = False) -> None:
        self._database = database
        self._anchors = anchors
        self._seconds = seconds
        self._in_step = in_step

    async def run(self) -> None:
        """Until cancelled; one anchor that hangs or fails keeps no other waiting."""
        async with asyncio.TaskGroup() as group:
            for anchor in self._anchors:
                group.create_task(self._serve(anchor))
            if not self._anchors:
                await asyncio.Event().wait()

    async def turn(self, anchor: Anchor) -> bool:
        """Give the newest head, unless this anchor keeps it; whether all is well."""
        async with self._locked(anchor) as is_ours:
            return await self._give(anchor) if is_ours else True

    @contextlib.asynccontextmanager
    async def _locked(self, anchor: Anchor) -> AsyncIterator[bool]:
        """Of several processes one serves an anchor at a time."""
        connection = await self._database.dedicated()
        try:
            yield bool(await connection.fetchval(store.LOCK, anchor.name))
        finally:
            # Postgres notices the end of a connection a moment later, and until then the next turn would be nobody's.
            with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError, OSError):
                await connection.execute(store.UNLOCK, timeout=RETRY_SECONDS)
            connection.terminate()

    async def _give(self, anchor: Anchor) -> bool:
        async with self._database.reading() as session:
            newest = await self._offered(session)
            reached = await store.reached(session, anchor.name)
        if newest is None:
            return True
        BACKLOG.labels(anchor.name).set(newest.size - (reached or 0))
        if reached is not None and newest.size <= reached:
            return True
        try:
            kept = await anchor.keep(size=newest.size, note=newest.note)
        except AnchorFailed as failure:
            FAILURES.labels(anchor.name).inc()
            if failure.contradicts:
                CONTRADICTS.labels(anchor.name).set(1)
            tell = log.error if failure.contradicts else log.warning
            tell("head not anchored", anchor=anchor.name, size=newest.size, reason=str(failure)[:MOST_REASON])
            async with self._database.transaction() as session:
                await store.fail(session, anchor.name, str(failure)[:MOST_REASON])
            return False
        crashpoint("anchor.after_keep")
        async with self._database.transaction() as session:
            await store.keep(session, anchor.name, size=newest.size, evidence=kept.evidence)
            if kept.cosigned is not None:
                key, cosignature = kept.cosigned.key, kept.cosigned.cosignature
                await cosignatures.append(session, size=newest.size, key=key, cosignature=cosignature)
        SIZE.labels(anchor.name).set(newest.size)
        BACKLOG.labels(anchor.name).set(0)
        CONTRADICTS.labels(anchor.name).set(0)
        return True

    async def _offered(self, session: Session) -> StoredCheckpoint | None:
        if self._in_step:
            return await checkpoints.newest_in_step(session, seconds=self._seconds)
        return await checkpoints.newest(session)

    async def _serve(self, anchor: Anchor) -> None:
        attempt = 0
        while True:
            try:
                attempt = 0 if await self.turn(anchor) else attempt + 1
            except (Unavailable, asyncpg.PostgresError, TimeoutError, OSError) as error:
                log.warning("anchor put off", anchor=anchor.name, error=type(error).__name__)
                attempt += 1
            usual = until_next_beat(time.time(), seconds=self._seconds) if self._in_step else self._seconds
            await asyncio.sleep(pause_seconds(attempt, usual=usual))


def pause_seconds(failures: int, *, usual: float) -> float:
    """Seconds until the next turn: as usual, and after failures 1, 2, 4 and so on, at most 300."""
    return float(min(MOST_RETRY_SECONDS, RETRY_SECONDS * 2 ** min(failures - 1, 10))) if failures else usual


def until_next_beat(now: float, *, seconds: float) -> float:
    """Seconds until shortly after the clock's next multiple of `seconds`: so far may the database's clock be behind."""
    return seconds - now % seconds + min(MOST_LATE_SECONDS, seconds / 10)
