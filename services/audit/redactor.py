"""Carries out redactions: looks through the log, announces what is to go, and erases what the log has announced.

Each step is one transaction, so a process that is killed leaves a job at a step's end, and any other goes on from there. What
is erased was named before by an entry of the log whose details are public in its leaf: a verifier tells it from damage.
"""

import asyncio

import asyncpg
from prometheus_client import Counter, Gauge

from libs.common import logs
from libs.common.crashpoint import crashpoint
from libs.common.database import exports as export_jobs
from libs.common.database import outbox
from libs.common.database.engine import Database, Session
from libs.common.errors import Unavailable
from libs.common.events.catalog import MessageData, new_event
from libs.common.events.envelope import Event
from libs.common.events.exports import ExportExpired
from libs.common.events.redactions import AuditRedacted, RedactionFinished
from services.audit.models.leaves import OWN_SOURCE
from services.audit.models.redactions import CONTENT, IDENTITY, concerns, spans_of
from services.audit.store import files
from services.audit.store import holds as holds_store
from services.audit.store import redactions as store
from services.audit.store.redactions import Plan, Redaction

MOST_ENTRIES = 500
"""Entries in one step: their announcement fits a leaf, and their rows are locked for some tens of milliseconds."""
WINDOW = 40_000
"""Places of the log that one step looks through."""
POLL_SECONDS = 1.0
ANNOUNCED_SECONDS = 0.1
"""Between two looks whether the log has the announcement."""
HELD_SECONDS = 60.0
RETRY_SECONDS = 1.0

REDACTED = Counter("reeve_audit_redacted_entries_total", "Entries that lost private members to redactions.")
OLDEST_AGE = Gauge(
    "reeve_audit_redaction_age_seconds", "Age of the oldest redaction that has not ended; 0 without one."
)

log = logs.get("redactions")


class Redactor:
    """Runs the jobs of the schema, a step at a time. Several may run: each step has its job's row."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def run(self) -> None:
        """Take what waits until cancelled; a database that is gone is waited for."""
        while True:
            try:
                if not await self.turn():
                    await self._measure()
                    await asyncio.sleep(POLL_SECONDS)
            except (Unavailable, asyncpg.PostgresError, TimeoutError) as error:
                log.warning("redactions rest", error=type(error).__name__)
                await asyncio.sleep(RETRY_SECONDS)

    async def turn(self) -> bool:
        """One step of one job; False when none waits."""
        async with self._database.transaction() as session:
            job = await store.take(session)
            if job is None:
                return False
            holds = await holds_store.blocked_by(session, job.subject)
            if holds:
                await store.hold(session, job, holds, seconds=HELD_SECONDS)
                return True
            await self._step(session, await store.begin(session, job))
        return True

    async def _step(self, session: Session, job: Redaction) -> None:
        if not job.planned:
            await self._plan(session, job)
        elif await store.is_announced(session, job):
            count = await store.erase(session, job)
            crashpoint("redact.before_commit")
            REDACTED.inc(count)
        else:
            await store.rest(session, job, seconds=ANNOUNCED_SECONDS)

    async def _plan(self, session: Session, job: Redaction) -> None:
        """Look through the next places; announce what tells of the subject there, or come to the end."""
        if job.position >= job.ends:
            await self._finish(session, job)
            return
        stop = min(job.position + WINDOW, job.ends)
        found = await store.window(session, job, stop=stop, most=MOST_ENTRIES)
        plan = {one.sequence: paths for one in found if (paths := concerns(job.subject, one))}
        position = found[-1].sequence + 1 if len(found) == MOST_ENTRIES else stop
        events = [_event(data, job) for data in announcements(job, plan)]
        await outbox.emit(session, *events)
        await store.save_plan(session, job, position=position, plan=plan, announced=[event.id for event in events])
        crashpoint("redact.before_announcement")

    async def _finish(self, session: Session, job: Redaction) -> None:
        """The end: files with the subject's data are withdrawn, and it is told."""
        holding = await files.holding(session, job.subject)
        for export in await export_jobs.withdraw(session, holding):
            gone = ExportExpired(export_id=str(export.id), export_source=export.source)
            await outbox.emit(session, new_event(gone, source=OWN_SOURCE, subject=f"export/{export.id}"))
        await store.finish(session, job, exports=len(holding))
        told = RedactionFinished(
            redaction_id=str(job.id), subject_type=job.subject_type, subject_id=job.subject_id, reason=job.reason,
            entries=job.entries, exports=len(holding),
        )  # fmt: skip
        await outbox.emit(session, _event(told, job))
        crashpoint("redact.before_end")
        log.info("redaction done", redaction=str(job.id), entries=job.entries)

    async def _measure(self) -> None:
        async with self._database.reading() as session:
            OLDEST_AGE.set(await store.oldest_age_seconds(session))


def announcements(job: Redaction, plan: Plan) -> list[AuditRedacted]:
    """What the log must say before the plan is carried out: at most one event for each kind of members."""
    told = []
    for kind in (IDENTITY, CONTENT):
        places = [place for place, paths in plan.items() if not frozenset(paths).isdisjoint(kind)]
        if places:
            told.append(
                AuditRedacted(
                    redaction_id=str(job.id),
                    subject_type=job.subject_type,
                    subject_id=job.subject_id,
                    reason=job.reason,
                    paths=list(kind),
                    entries=list(spans_of(places)),
                )
            )
    return told


def _event(data: MessageData, job: Redaction) -> Event:
    return new_event(
        data,
        subject=f"redaction/{job.id}",
        actor_id=job.requested_by,
        actor_type="admin" if job.requested_by else "system",
        correlation_id=job.correlation_id,
        causation_id=job.operation_id,
    )
