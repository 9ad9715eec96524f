"""The worker: one loop that takes the service's jobs one after the other and writes their files.

A job is held by a lease that each checkpoint renews. When a process ends in the middle of one, the lease lapses, and
whichever worker is there takes the job up: behind the last checkpoint, in a file of its own, so that no row is written
twice and an earlier worker that still lives writes where nobody looks. The set of rows was fixed when the job began.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from prometheus_client import Counter

from libs.common import logs
from libs.common.crashpoint import crashpoint
from libs.common.database import exports as store
from libs.common.database import outbox
from libs.common.database.engine import Connection, Database, is_transient
from libs.common.database.exports import ExportJob
from libs.common.delivery.backoff import backoff_seconds
from libs.common.errors import ReeveError
from libs.common.events.catalog import MessageData, new_event
from libs.common.events.envelope import Event
from libs.common.events.exports import ExportExpired, ExportFinished
from libs.common.exports.files import ByteFile, remove_strays
from libs.common.exports.jobs import (
    FORGOTTEN_DAYS,
    MOST_ATTEMPTS,
    ExportTooLarge,
    Policy,
    check_size,
    resumes_at,
    seconds_left,
)
from libs.common.exports.manifest import ManifestSigner, manifest_of
from libs.common.exports.source import GrowingFile, Source, media_of
from libs.common.ids import new_uuid

LEASE_SECONDS = 20.0
CHECKPOINT_SECONDS = 1.0
POLL_SECONDS = 0.5
TIDY_SECONDS = 30.0
STRAY_SECONDS = 120.0
"""How long a file that no job names may have been untouched before it is removed."""

EXPORTS = Counter("reeve_exports_total", "Exports that ended, by source and how.", ("source", "state"))

log = logs.get("exports")


class _NotOurs(Exception):
    """The job was cancelled, or another worker has it."""


class ExportWorker:
    """Runs the jobs of one schema. `run` ends only when cancelled."""

    def __init__(
        self,
        database: Database,
        sources: Mapping[str, Source],
        *,
        folder: Path,
        policy: Policy,
        signer: ManifestSigner,
        speaks_as: str,
        clock: Callable[[], float] = time.time,
        checkpoint_seconds: float = CHECKPOINT_SECONDS,
    ) -> None:
        self._database = database
        self._sources = sources
        self._folder = folder
        self._policy = policy
        self._signer = signer
        self._speaks_as = speaks_as
        self._clock = clock
        self._checkpoint_seconds = checkpoint_seconds
        self._worker = new_uuid()
        self._next_tidy = 0.0

    async def run(self) -> None:
        """Take what waits, tidy up, and rest, until cancelled. Every fault is tried again with back-off."""
        failures = 0
        while True:
            try:
                worked = await self.turn()
                failures = 0
            except Exception as error:
                if not isinstance(error, OSError) and not is_transient(error):
                    raise
                log.warning("exports rest", error=type(error).__name__)
                await asyncio.sleep(backoff_seconds(failures, first_seconds=POLL_SECONDS))
                failures += 1
                continue
            if not worked:
                await asyncio.sleep(POLL_SECONDS)

    async def turn(self) -> bool:
        """Tidy up when it is time, and run one job if one waits."""
        if self._clock() >= self._next_tidy:
            await self.tidy()
            self._next_tidy = self._clock() + TIDY_SECONDS
        async with self._database.transaction() as session:
            job = await store.claim(session, self._worker, lease_seconds=LEASE_SECONDS)
        if job is None:
            return False
        await self._run_job(job)
        return True

    async def tidy(self) -> None:
        """Let exports expire whose time is over, forget the oldest, and remove files that nobody needs."""
        await asyncio.to_thread(self._folder.mkdir, mode=0o700, parents=True, exist_ok=True)
        async with self._database.transaction() as session:
            for job in await store.expire(session):
                expired = ExportExpired(export_id=str(job.id), export_source=job.source)
                await outbox.emit(session, self._event(expired, job, by_owner=False))
                EXPORTS.labels(job.source, "expired").inc()
            await store.forget(session, days=FORGOTTEN_DAYS)
        async with self._database.reading() as session:
            needed = await store.live_files(session)
        await asyncio.to_thread(remove_strays, self._folder, needed, older_than=self._clock() - STRAY_SECONDS)

    async def _run_job(self, job: ExportJob) -> None:
        try:
            if job.attempts > MOST_ATTEMPTS:
                raise ReeveError(f"it was tried {MOST_ATTEMPTS} times and never came to its end", code="export_failed")
            left = seconds_left(self._policy, job, datetime.fromtimestamp(self._clock(), UTC))
            async with asyncio.timeout(left) as limit:
                await self._write(job, self._sources[job.source])
        except _NotOurs:
            log.info("export left", export=str(job.id))
        except ReeveError as error:
            if is_transient(error):
                await self._let_go(job)
                raise
            await self._fail(job, error)
        except TimeoutError:
            if not limit.expired():
                await self._let_go(job)
                raise
            most = int(self._policy.most_seconds)
            await self._fail(
                job, ExportTooLarge(f"an export may take at most {most} seconds; narrow it by its filters")
            )
        except Exception as error:
            if isinstance(error, OSError) or is_transient(error):
                await self._let_go(job)
                raise
            log.error("export failed", export=str(job.id), exc_info=error)
            await self._fail(job, ReeveError("something went wrong on our side", code="export_failed"))

    async def _write(self, job: ExportJob, source: Source) -> None:
        name = f"{job.id}.{job.attempts}"
        path = self._folder / name
        await asyncio.to_thread(self._folder.mkdir, mode=0o700, parents=True, exist_ok=True)
        async with self._connected(source.connections) as connections:
            file = await asyncio.to_thread(source.open, job, path)
            try:
                job = await self._begin(job, source, connections[0], file, name)
                rows = await self._write_windows(job, source, connections, file)
                size = await file.finish()
                check_size(self._policy, rows=rows, size=size)
                assert job.ends is not None
                checkpoint = await source.checkpoint(connections[0], job.ends)
            except BaseException:
                await file.abandon()
                raise
        await self._succeed(job, rows=rows, size=size, sha256=file.sha256, checkpoint=checkpoint)

    @asynccontextmanager
    async def _connected(self, count: int) -> AsyncIterator[Sequence[Connection]]:
        opened: list[Connection] = []
        try:
            while len(opened) < count:
                opened.append(await self._database.dedicated())
            yield opened
        finally:
            for connection in opened:
                connection.terminate()

    async def _begin(
        self, job: ExportJob, source: Source, connection: Connection, file: GrowingFile, name: str
    ) -> ExportJob:
        """Fix what the job sees, and begin its file: with what an earlier attempt left, or from nothing."""
        earlier = self._folder / (job.file or "")
        has_file = job.file is not None and await asyncio.to_thread(earlier.is_file)
        position, rows = 0, 0
        if isinstance(file, ByteFile) and resumes_at(job, has_file=has_file, is_resumable=file.is_resumable):
            await file.go_on(earlier, job.bytes)
            position, rows = job.position, job.rows
            log.info("export goes on", export=str(job.id), rows=rows)
        elif (head := source.head(job)) is not None:
            await file.write(head)
        ends = job.ends if job.ends is not None else await source.end(connection)
        size = await file.checkpoint()
        async with self._database.transaction() as session:
            if not await store.begin(session, job, ends=ends, file=name, position=position, rows=rows, size=size):
                raise _NotOurs
        return replace(job, file=name, ends=ends, position=position, rows=rows, bytes=size)

    async def _write_windows(
        self, job: ExportJob, source: Source, connections: Sequence[Connection], file: GrowingFile
    ) -> int:
        assert job.ends is not None
        rows, due = job.rows, time.monotonic() + self._checkpoint_seconds
        for start in range(job.position, job.ends, source.window):
            stop = min(start + source.window, job.ends)
            rows += await source.write_window(connections, job, start=start, stop=stop, write=file.write)
            check_size(self._policy, rows=rows, size=file.size)
            if time.monotonic() >= due:
                size = await file.checkpoint()
                async with self._database.transaction() as session:
                    held = await store.advance(
                        session, job, position=stop, rows=rows, size=size, lease_seconds=LEASE_SECONDS
                    )
                if not held:
                    raise _NotOurs
                crashpoint("export.after_checkpoint")
                due = time.monotonic() + self._checkpoint_seconds
        return rows

    async def _succeed(self, job: ExportJob, *, rows: int, size: int, sha256: str, checkpoint: str | None) -> None:
        manifest = manifest_of(
            job, file_name=media_of(job)[0], rows=rows, size=size, sha256=sha256, checkpoint=checkpoint
        )
        text, signature = self._signer.sign(manifest)
        finished = ExportFinished(
            export_id=str(job.id), export_source=job.source, state="succeeded", outcome="success", rows=rows,
            bytes=size, sha256=sha256,
        )  # fmt: skip
        crashpoint("export.before_success")
        async with self._database.transaction() as session:
            if not await store.succeed(
                session, job, rows=rows, size=size, manifest=text, signature=signature,
                kept_hours=self._policy.kept_hours,
            ):  # fmt: skip
                raise _NotOurs
            await outbox.emit(session, self._event(finished, job))
        EXPORTS.labels(job.source, "succeeded").inc()

    async def _fail(self, job: ExportJob, error: ReeveError) -> None:
        detail = error.detail()
        finished = ExportFinished(
            export_id=str(job.id), export_source=job.source, state="failed", outcome="failure", rows=job.rows, bytes=0,
            error=detail,
        )  # fmt: skip
        async with self._database.transaction() as session:
            if await store.fail(session, job, detail):
                await outbox.emit(session, self._event(finished, job))
                EXPORTS.labels(job.source, "failed").inc()

    async def _let_go(self, job: ExportJob) -> None:
        """Free the job at once where that can be said; else its lease lapses."""
        try:
            async with self._database.transaction() as session:
                await store.release(session, job)
        except Exception as error:
            if not is_transient(error):
                raise

    def _event(self, data: MessageData, job: ExportJob, *, by_owner: bool = True) -> Event:
        return new_event(
            data,
            source=self._speaks_as,
            subject=f"export/{job.id}",
            actor_id=job.owner_id if by_owner else None,
            actor_type="admin" if by_owner else "system",
            correlation_id=job.correlation_id,
        )
