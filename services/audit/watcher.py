"""Watches what the log lacks: numbers of services that do not come, entries that no signed head reaches, heads that no quorum of
witnesses cosigned, and events that wait in quarantine.

A number that is missing for longer than `BOUND_SECONDS` while later ones are there is told of once, by an event and an alert,
and once more when it came; so is an entry that no signed checkpoint reaches after `BOUND_SECONDS`. What was told is in the database, so a restart tells nothing again.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import asyncpg
from prometheus_client import Gauge

from libs.common import logs
from libs.common.database import outbox
from libs.common.database.engine import Database, Session
from libs.common.delivery.senders import SERVICES
from libs.common.delivery.subscriber import INBOX_DAYS
from libs.common.errors import Unavailable
from libs.common.events.audit import GapClosed, GapDetected, InclusionCaughtUp, InclusionOverdue
from libs.common.events.catalog import new_event
from libs.common.events.platform import CriticalError
from services.audit.models.gaps import Gap, Hole, closed_of, how_closed, news_of
from services.audit.models.leaves import OWN_SOURCE
from services.audit.models.witnesses import Quorum
from services.audit.store import cosignatures, overdue, quarantine
from services.audit.store import gaps as store

BOUND_SECONDS = 60.0
LOOK_SECONDS = 5.0
MOST_OPEN = 1_000
"""Gaps that are told of at once; the metric counts the numbers of all."""
FORGOTTEN_DAYS = 90
INBOX_KEPT = timedelta(days=INBOX_DAYS)

MISSING = Gauge(
    "reeve_audit_missing_numbers", "Numbers of a service that are missing for over a minute.", ("producer",)
)
QUARANTINED = Gauge("reeve_audit_quarantined_events", "Events that wait in quarantine, counted up to 10,001.")
WITNESSED = Gauge("reeve_audit_witnessed_size", "Size of the newest head that the quorum of witnesses cosigned.")
UNWITNESSED = Gauge(
    "reeve_audit_unwitnessed_age_seconds",
    "Seconds since the oldest head was signed that the quorum of witnesses has yet to cover; 0 where none waits.",
)

log = logs.get("gaps")


class Watcher:
    """Looks every few seconds. Several may run: one at a time looks."""

    def __init__(
        self,
        database: Database,
        *,
        bound_seconds: float = BOUND_SECONDS,
        most_open: int = MOST_OPEN,
        quorum: Quorum | None = None,
    ) -> None:
        self._database = database
        self._bound_seconds = bound_seconds
        self._most_open = most_open
        self._quorum = quorum

    async def run(self) -> None:
        """Look until cancelled; a database that is gone is waited for.

        Not at once: what was under way when the platform ended is old at the next start, and done a second or two after it.
        """
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self.turn()
            except (Unavailable, asyncpg.PostgresError, TimeoutError) as error:
                log.warning("gaps not looked for", error=type(error).__name__)

    async def turn(self) -> None:
        """One look: tell of gaps that are new, and of those that are closed."""
        async with self._database.transaction() as session:
            holes = await store.holes(session, older_than_seconds=self._bound_seconds)
            if await store.take_turn(session):
                known = await store.all_open(session)
                await self._tell(session, news_of(holes, known)[: max(0, self._most_open - len(known))])
                await self._close(session, known)
                await store.forget(session, days=FORGOTTEN_DAYS)
                await self._look_for_overdue(session)
            QUARANTINED.set(await quarantine.count_waiting(session))
            if self._quorum is not None:
                witnessed = await cosignatures.witnessed_size(session, self._quorum)
                WITNESSED.set(witnessed or 0)
                UNWITNESSED.set(await cosignatures.waiting_seconds(session, witnessed=witnessed))
        missing = Counter[str]()
        for hole in holes:
            missing[hole.producer] += hole.missing
        for producer in SERVICES:
            MISSING.labels(producer).set(missing[producer])

    async def _look_for_overdue(self, session: Session) -> None:
        """Whoever holds a receipt waits for a proof: tell when none can be given, and when it can again."""
        found = await overdue.find(session, older_than_seconds=self._bound_seconds)
        if found is None:
            first = await overdue.clear(session)
            if first is not None:
                await outbox.emit(
                    session, new_event(InclusionCaughtUp(first=first), subject=f"audit_inclusion/{first}")
                )
                log.warning("signed heads reach what was overdue", first=first)
            return
        if not await overdue.note(session, found):
            return
        told = InclusionOverdue(first=found.first, waiting=found.waiting, since=found.since)
        alert = CriticalError(
            error_type="audit_inclusion", system="audit log",
            error_message=(
                f"entries from {found.first} on have no signed checkpoint after {self._bound_seconds:g} s:"
                " sequencer or signer does not go on"
            ),
        )  # fmt: skip
        subject = f"audit_inclusion/{found.first}"
        await outbox.emit(
            session,
            new_event(told, subject=subject, severity="critical"),
            new_event(alert, subject=subject, source=OWN_SOURCE, severity="critical"),
        )
        log.error("entries wait for a signed head", first=found.first, waiting=found.waiting)

    async def _tell(self, session: Session, holes: Sequence[Hole]) -> None:
        for hole in holes:
            gap = await store.append(session, hole)
            told = GapDetected(
                gap_id=str(gap.id), producer=gap.producer, first=gap.first, last=gap.last, missing=hole.missing,
                since=gap.since,
            )  # fmt: skip
            which = f"number {gap.first}" if hole.missing == 1 else f"numbers {gap.first} to {gap.last}"
            alert = CriticalError(
                error_type="audit_gap", system="audit log",
                error_message=f"{which} of {gap.producer} did not come, and later ones did: the audit log lacks them",
            )  # fmt: skip
            subject = f"audit_gap/{gap.id}"
            await outbox.emit(
                session,
                new_event(told, subject=subject, severity="critical"),
                new_event(alert, subject=subject, source=OWN_SOURCE, severity="critical"),
            )
            log.error("numbers are missing", producer=gap.producer, first=gap.first, last=gap.last)

    async def _close(self, session: Session, known: Sequence[Gap]) -> None:
        missing = await store.holes(session, older_than_seconds=0.0) if known else ()
        for gap in closed_of(missing, known):
            how = how_closed(gap, now=datetime.now(UTC), kept=INBOX_KEPT)
            await store.close(session, gap, how=how)
            told = GapClosed(gap_id=str(gap.id), producer=gap.producer, first=gap.first, last=gap.last, how=how)
            await outbox.emit(session, new_event(told, subject=f"audit_gap/{gap.id}"))
            log.warning("a gap is closed", producer=gap.producer, first=gap.first, last=gap.last, how=how)
