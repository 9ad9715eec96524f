"""Streams entries to sinks, at least once and in order.

Each sink is held by one process at a time, by a lease that is longer than an attempt may take. What an attempt sends is
fixed in the sink's row before anything leaves, and the cursor moves when the receiver has confirmed: whoever takes over
after a crash sends the very same batch. Sinks have a task each, so that a slow one holds up no other.
"""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson
from prometheus_client import Counter, Gauge

from libs.common import logs
from libs.common.crashpoint import crashpoint
from libs.common.database import outbox
from libs.common.database.engine import Database, is_transient
from libs.common.delivery.backoff import backoff_seconds
from libs.common.events.catalog import MessageData, new_event
from libs.common.events.sinks import SinkFailed, SinkRecovered
from libs.common.ids import new_uuid
from libs.common.sealing import Locker, NotSealed
from services.audit.commands.sinks import secret_bound
from services.audit.models import ocsf
from services.audit.models.sinks import (
    MOST_PAUSE_SECONDS,
    Batch,
    Outgoing,
    SendFailed,
    Sink,
    batch_id,
    ends_of,
    error_text,
    has_failed_for_long,
    has_test,
    is_due,
    pause_seconds,
    rests_until,
)
from services.audit.schemas import FilterQuery, entry_body
from services.audit.sending.s3 import S3Sender
from services.audit.sending.syslog import SyslogSender
from services.audit.sending.webhook import WebhookSender
from services.audit.store import sinks as store
from services.audit.store.search import Filters

LEASE_SECONDS = 30.0
SEND_SECONDS = 15.0
POLL_SECONDS = 0.5
MOST_ENTRIES = 200
MOST_BYTES = 256 * 1024
"""Of details and changes in one batch, unless a single entry has more."""
MOST_OBJECT_ENTRIES = 5_000
MOST_OBJECT_BYTES = 4 * 1024 * 1024
"""Of a batch that is one object: storage is paid by the object, and searched by it."""
WINDOW = 10_000
"""Places of the log that are looked through for one batch."""
MOST_READS = 2
"""Batches that are read at the same time."""

BACKLOG = Gauge("reeve_audit_sink_backlog", "Entries of the log that a sink has not come to yet.", ("sink",))
FAILING = Gauge("reeve_audit_sink_failing_seconds", "For how long a sink has failed; 0 when it does not.", ("sink",))
SENT = Counter("reeve_audit_sink_sent_total", "Entries that a sink's receiver confirmed.", ("sink",))
FAILURES = Counter("reeve_audit_sink_failures_total", "Attempts of a sink that were not confirmed.", ("sink",))

log = logs.get("audit.sinks")


class Streamer:
    """Sends for every sink that nobody else sends for. `run` ends only when cancelled."""

    def __init__(
        self,
        database: Database,
        *,
        syslog: SyslogSender,
        webhooks: WebhookSender,
        objects: S3Sender,
        locker: Locker,
        lease_seconds: float = LEASE_SECONDS,
        send_seconds: float = SEND_SECONDS,
        most_entries: int = MOST_ENTRIES,
        most_object_entries: int = MOST_OBJECT_ENTRIES,
        pause: Callable[..., float] = pause_seconds,
    ) -> None:
        self._database = database
        self._syslog = syslog
        self._webhooks = webhooks
        self._objects = objects
        self._locker = locker
        self._lease_seconds = lease_seconds
        self._send_seconds = send_seconds
        self._most_entries = most_entries
        self._most_object_entries = most_object_entries
        self._pause = pause
        self._holder = new_uuid()
        self._reads = asyncio.Semaphore(MOST_READS)
        self._busy: set[UUID] = set()
        self._shown: set[str] = set()

    async def run(self) -> None:
        """Look for what is due, start a task for each, and rest, until cancelled."""
        failures = 0
        async with asyncio.TaskGroup() as tasks:
            while True:
                try:
                    for sink_id in await self.due():
                        self._busy.add(sink_id)
                        tasks.create_task(self._stream(sink_id))
                    failures = 0
                except Exception as error:
                    if not is_transient(error):
                        raise
                    log.warning("sinks rest", error=type(error).__name__)
                    failures += 1
                await asyncio.sleep(backoff_seconds(failures, first_seconds=POLL_SECONDS))

    async def due(self) -> list[UUID]:
        """The sinks for which there is something to do and nobody here does it; sets what is measured."""
        async with self._database.reading() as session:
            sinks, end = await store.list_all(session), await store.end_of_log(session)
        now = datetime.now(UTC)
        self._show(sinks, end=end, now=now)
        return [sink.id for sink in sinks if sink.id not in self._busy and is_due(sink, end=end, now=now)]

    async def turn(self, sink_id: UUID) -> bool:
        """One step for one sink: a test, or a batch. Returns whether there may be more to do at once."""
        began = time.monotonic()
        async with self._database.transaction() as session:
            sink = await store.claim(session, sink_id, holder=self._holder, lease_seconds=self._lease_seconds)
            end = await store.end_of_log(session)
        if sink is None or not is_due(sink, end=end, now=datetime.now(UTC)):
            return False
        if has_test(sink):
            await self._test(sink)
            return True
        async with self._reads:
            batch = await self._next_batch(sink, end)
        if batch is None:
            return False
        if time.monotonic() - began > self._lease_seconds - self._send_seconds:
            # Another could take the sink before this attempt has ended: it is claimed again first.
            return True
        return await self._attempt(sink, batch)

    async def _stream(self, sink_id: UUID) -> None:
        try:
            while await self.turn(sink_id):
                pass
            async with self._database.transaction() as session:
                await store.release(session, sink_id, holder=self._holder)
        except Exception as error:
            if not is_transient(error):
                raise
            log.warning("sink rests", sink=str(sink_id), error=type(error).__name__)
        finally:
            self._busy.discard(sink_id)

    async def _next_batch(self, sink: Sink, end: int) -> Batch | None:
        """What is to be sent, fixed in the sink's row; None when the sink is no longer what it was, or rests."""
        filters = FilterQuery.model_validate(sink.filters).filters()
        ends = sink.batch_ends
        if ends is None:
            ends = await self._next_ends(sink, filters, end)
            if ends is None:
                return None
        async with self._database.reading() as session:
            rows = await store.read(session, filters, start=sink.cursor, stop=ends)
        entries = tuple(_outgoing(dict(row), sink.format) for row in rows)
        return Batch(batch_id(sink, first=sink.cursor, ends=ends), sink.cursor, ends, entries)

    async def _next_ends(self, sink: Sink, filters: Filters, end: int) -> int | None:
        """Where the next batch ends."""
        is_object = sink.target["kind"] == "s3"
        most = self._most_object_entries if is_object else self._most_entries
        stop = min(end, sink.cursor + WINDOW)
        async with self._database.reading() as session:
            places = await store.places(session, filters, start=sink.cursor, stop=stop, most=most)
        most_bytes = MOST_OBJECT_BYTES if is_object else MOST_BYTES
        ends = ends_of(places, stop=stop, most_entries=most, most_bytes=most_bytes)
        if not places:
            return ends
        if is_object and len(places) < most:
            until = rests_until(
                places, ends=ends, end=end, batch_seconds=sink.target["batch_seconds"], now=datetime.now(UTC)
            )
            if until is not None:
                async with self._database.transaction() as session:
                    await store.rest(session, sink, holder=self._holder, until=until)
                return None
        async with self._database.transaction() as session:
            if not await store.begin_batch(session, sink, holder=self._holder, ends=ends):
                return None
        crashpoint("sink.after_batch")
        return ends

    async def _attempt(self, sink: Sink, batch: Batch) -> bool:
        if batch.entries:
            try:
                await self._send(sink, batch)
            except SendFailed as failed:
                await self._fail(sink, failed)
                return False
            crashpoint("sink.after_send")
        count = len(batch.entries)
        async with self._database.transaction() as session:
            held = await store.advance(session, sink, holder=self._holder, ends=batch.ends, count=count)
            if held and count and sink.is_reported:
                recovered = SinkRecovered(sink_id=str(sink.id), name=sink.name, cursor=batch.ends)
                await outbox.emit(session, _told(recovered, sink))
        if held and count:
            SENT.labels(sink.name).inc(count)
        return held

    async def _send(self, sink: Sink, batch: Batch) -> None:
        """Send within the time for an attempt. Raises `SendFailed`."""
        try:
            async with asyncio.timeout(self._send_seconds):
                if sink.target["kind"] == "syslog":
                    await self._syslog.send(sink.target, batch)
                    return
                secret = self._locker.unlock(sink.secret or b"", bound=secret_bound(sink.id, sink.target))
                if sink.target["kind"] == "s3":
                    await self._objects.send(sink.target, batch, secret=secret)
                else:
                    await self._webhooks.send(sink.target, batch, secret=secret)
        except TimeoutError:
            raise SendFailed(f"the receiver did not confirm within {self._send_seconds:g} seconds") from None
        except NotSealed:
            raise SendFailed("the secret cannot be opened with this service's key; set it again") from None

    async def _fail(self, sink: Sink, failed: SendFailed) -> None:
        is_known = failed.needs_person or has_failed_for_long(sink, datetime.now(UTC))
        tells = failed.is_gone or (is_known and not sink.is_reported)
        # What only a person can mend is told at once, and tried rarely: it may be mended at the receiver.
        least = MOST_PAUSE_SECONDS if failed.needs_person else failed.retry_after_seconds
        pause = self._pause(sink.failures + 1, retry_after_seconds=least)
        async with self._database.transaction() as session:
            held = await store.fail(
                session, sink, holder=self._holder, error=error_text(failed), pause_seconds=pause,
                is_reported=sink.is_reported or tells, is_gone=failed.is_gone,
            )  # fmt: skip
            if held and tells:
                told = SinkFailed(
                    sink_id=str(sink.id), name=sink.name, state="disabled" if failed.is_gone else "failing",
                    error_message=error_text(failed), cursor=sink.cursor,
                )  # fmt: skip
                await outbox.emit(session, _told(told, sink))
        FAILURES.labels(sink.name).inc()
        log.info("sink was not confirmed", sink=str(sink.id), error=error_text(failed))

    async def _test(self, sink: Sink) -> None:
        error: str | None = None
        try:
            await self._send(sink, _test_batch(sink))
        except SendFailed as failed:
            error = error_text(failed)
        async with self._database.transaction() as session:
            await store.end_test(session, sink, error=error)

    def _show(self, sinks: Any, *, end: int, now: datetime) -> None:
        names = {sink.name for sink in sinks}
        for gone in self._shown - names:
            BACKLOG.remove(gone)
            FAILING.remove(gone)
        for sink in sinks:
            BACKLOG.labels(sink.name).set(max(0, end - sink.cursor) if sink.is_enabled else 0)
            since = sink.failing_since if sink.is_enabled else None
            FAILING.labels(sink.name).set((now - since).total_seconds() if since else 0)
        self._shown = names


def _outgoing(row: dict[str, Any], sink_format: str) -> Outgoing:
    body = ocsf.event_of(row, version=ocsf.DEFAULT_VERSION) if sink_format == "ocsf" else entry_body(row)
    return Outgoing(row["sequence"], row["id"], row["action"], row["severity"], row["created_at"], orjson.dumps(body))


def _test_batch(sink: Sink) -> Batch:
    """A message that says it is a test: no entry of the log, and known by its action and its id."""
    now, test_id = datetime.now(UTC), str(sink.asked_test)
    body = orjson.dumps({"id": test_id, "action": "sink_test", "sink_id": str(sink.id), "name": sink.name})
    entry = Outgoing(sink.cursor, test_id, "sink_test", "info", now, body)
    return Batch(f"test_{test_id.replace('-', '')}", sink.cursor, sink.cursor, (entry,), is_test=True)


def _told(data: MessageData, sink: Sink) -> Any:
    severity = "error" if isinstance(data, SinkFailed) else "info"
    return new_event(data, subject=f"sink/{sink.id}", actor_type="system", severity=severity)
