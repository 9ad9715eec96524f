"""The relay: the only road from an outbox to the broker.

One relay per schema leads (an advisory lock on its own connection); it numbers rows gaplessly in a
committed statement, publishes with confirms, and deletes a row only after its confirm. A failed or
unknown publish is repeated under the same number, so delivery is at least once and never less.
Rows of one subject are in flight in at most one message at a time: that keeps their commit order
through every retry.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg

from libs.common import logs
from libs.common.broker.transport import Transport, Unconfirmed, Unroutable
from libs.common.crashpoint import crashpoint
from libs.common.database import outbox
from libs.common.database.engine import Database, is_transient
from libs.common.database.outbox import ClaimedRow
from libs.common.delivery.backoff import backoff_seconds
from libs.common.delivery.metrics import OUTBOX_OLDEST_SECONDS, OUTBOX_UNSENT, RELAY_FAILURES, RELAY_PUBLISHED
from libs.common.delivery.packing import Pack, packs, to_message

MOST_IN_FLIGHT = 2_000
"""Rows published and not yet confirmed; the relay claims no more until some have landed."""
CLAIM = 500
PACE_SECONDS = 0.015
"""The least time between two claims of few events: a steady stream is taken in larger claims, an idle outbox at once.
A command, which somebody waits for, is claimed in the pause."""
FEW = 200
SAMPLE_SECONDS = 5.0
"""How often the backlog is measured for the metrics."""
POLL_SECONDS = 1.0
"""The safety net under LISTEN/NOTIFY."""
FIRST_BACKOFF_SECONDS = 0.1

log = logs.get("relay")


@dataclass(slots=True)
class _Flight:
    """What is under way: rows in the air, subjects that must wait, packs to repeat, rows to delete."""

    rows: int
    subjects: set[tuple[str, str]]
    failed: list[Pack]
    landed: list[int]


class Relay:
    """Publishes one schema's outbox. `run` ends only when cancelled; every fault is retried with back-off."""

    def __init__(
        self, database: Database, transport: Transport, *, producer: str, pace_seconds: float = PACE_SECONDS
    ) -> None:
        self._database = database
        self._transport = transport
        self._producer = producer
        self._pace_seconds = pace_seconds
        self._wake = asyncio.Event()
        self._urgent = asyncio.Event()
        self._notified = True
        self._sampled = 0.0
        self._next_claim = 0.0
        self._flight = _Flight(rows=0, subjects=set(), failed=[], landed=[])

    async def run(self) -> None:
        """Lead when nobody else does, relay for as long as the connection lives, start over when it breaks."""
        failures = 0
        while True:
            try:
                await self._lead_and_relay()
                failures = 0
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError) as error:
                failures += 1
                log.warning("relay lost its database", producer=self._producer, error=type(error).__name__)
            except Exception as error:
                if not is_transient(error):
                    raise
                failures += 1
            await asyncio.sleep(backoff_seconds(failures, first_seconds=FIRST_BACKOFF_SECONDS))

    async def _lead_and_relay(self) -> None:
        connection = await self._database.dedicated()
        try:
            await connection.add_listener(f"outbox_{self._database.schema}", self._on_notify)
            while not await outbox.lead(connection, self._database.schema):
                await asyncio.sleep(POLL_SECONDS)
            self._flight = _Flight(rows=0, subjects=set(), failed=[], landed=[])
            self._notified = True
            async with asyncio.TaskGroup() as flights:
                await self._resume(connection, flights)
                while True:
                    await self._turn(connection, flights)
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from group
        finally:
            with contextlib.suppress(Exception):
                await connection.close(timeout=2)

    async def _resume(self, connection: asyncpg.Connection, flights: asyncio.TaskGroup) -> None:
        """Publish again what an earlier leader numbered and may not have published."""
        after = 0
        while rows := await outbox.unfinished(connection, CLAIM, after):
            after = rows[-1].position
            await self._launch(connection, flights, rows)

    async def _turn(self, connection: asyncpg.Connection, flights: asyncio.TaskGroup) -> None:
        """One turn: delete what landed, repeat what failed, claim what is new, else wait."""
        if self._flight.failed:
            await self._repeat(connection)
            return
        room = min(CLAIM, MOST_IN_FLIGHT - self._flight.rows)
        if self._notified and room > 0:
            rows = await self._claim(connection, room)
            crashpoint("relay.after_number")
            await self._launch(connection, flights, rows)
        else:
            await self._mark(connection)
            await self._sample(connection)
            await self._rest()

    async def _claim(self, connection: asyncpg.Connection, most: int) -> list[ClaimedRow]:
        """Commands at once; everything else when the pause since the last claim is over."""
        if await self._is_urgent():
            self._urgent.clear()
            rows = await outbox.claim_commands(connection, most)
            if len(rows) == most:
                self._urgent.set()
            return rows
        await self._mark(connection)
        await self._sample(connection)
        # A row that commits from here on says so itself; one that has, is in this claim.
        self._notified = False
        self._urgent.clear()
        rows = await outbox.claim(connection, most)
        self._notified = self._notified or len(rows) == most
        self._next_claim = asyncio.get_running_loop().time() + (self._pace_seconds if len(rows) < FEW else 0.0)
        return rows

    async def _launch(
        self, connection: asyncpg.Connection, flights: asyncio.TaskGroup, rows: Sequence[ClaimedRow]
    ) -> None:
        for pack in packs(rows):
            while self._flight.subjects & pack.subjects and not self._flight.failed:
                await self._landing()
                await self._mark(connection)
            if self._flight.failed:
                self._hold(pack)
                self._flight.failed.append(pack)
                continue
            self._hold(pack)
            flights.create_task(self._publish(pack))

    def _hold(self, pack: Pack) -> None:
        self._flight.rows += len(pack.rows)
        self._flight.subjects |= pack.subjects

    async def _publish(self, pack: Pack) -> None:
        flight = self._flight
        try:
            crashpoint("relay.before_publish")
            await self._transport.publish(to_message(pack, producer=self._producer))
            crashpoint("relay.after_publish")
        except (Unconfirmed, Unroutable, OSError) as error:
            RELAY_FAILURES.labels(self._producer, type(error).__name__).inc()
            log.warning("publish not confirmed", producer=self._producer, type=pack.type, error=str(error)[:200])
            flight.failed.append(pack)
        else:
            flight.rows -= len(pack.rows)
            flight.subjects -= pack.subjects
            flight.landed += [row.position for row in pack.rows]
            RELAY_PUBLISHED.labels(self._producer).inc(len(pack.rows))
        self._wake.set()

    async def _repeat(self, connection: asyncpg.Connection) -> None:
        """Wait until nothing else is in the air, then send what failed once more, oldest first."""
        failures = 0
        while True:
            while self._flight.rows > sum(len(pack.rows) for pack in self._flight.failed):
                await self._news()
            await self._mark(connection)
            if not self._flight.failed:
                return
            await asyncio.sleep(backoff_seconds(failures, first_seconds=FIRST_BACKOFF_SECONDS))
            again, self._flight.failed = sorted(self._flight.failed, key=lambda pack: pack.rows[0].position), []
            for done, pack in enumerate(again, 1):
                await self._publish(pack)
                failures += 1
                if self._flight.failed:
                    # What follows may tell of the same subject: it waits for this one.
                    self._flight.failed += again[done:]
                    break
                failures = 0

    async def _mark(self, connection: asyncpg.Connection) -> None:
        """Delete the rows whose confirms came; a crash before this only repeats them."""
        landed, self._flight.landed = self._flight.landed, []
        if landed:
            crashpoint("relay.after_confirm")
            await outbox.forget(connection, landed)

    async def _is_urgent(self) -> bool:
        """Whether a command came before the pause was over."""
        early = self._next_claim - asyncio.get_running_loop().time()
        if early <= 0:
            return False
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(early):
                await self._urgent.wait()
        return self._urgent.is_set()

    async def _sample(self, connection: asyncpg.Connection) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._sampled >= SAMPLE_SECONDS:
            self._sampled = now
            backlog = await outbox.backlog(connection)
            OUTBOX_UNSENT.labels(self._producer).set(backlog.count)
            OUTBOX_OLDEST_SECONDS.labels(self._producer).set(backlog.oldest_seconds)

    async def _rest(self) -> None:
        """Wait for news: a committed row, a landing or a failure, at the longest one poll."""
        may_claim = self._notified and self._flight.rows < MOST_IN_FLIGHT
        if may_claim or self._flight.failed:
            return
        if not await self._landing():
            self._notified = True

    async def _landing(self) -> bool:
        """Wait until something in the air landed or failed, or rows were committed; False after one poll."""
        if self._flight.landed or self._flight.failed:
            self._wake.clear()
            return True
        return await self._news()

    async def _news(self) -> bool:
        self._wake.clear()
        try:
            async with asyncio.timeout(POLL_SECONDS):
                await self._wake.wait()
        except TimeoutError:
            return False
        return True

    def _on_notify(self, _connection: object, _pid: int, _channel: str, payload: object) -> None:
        self._notified = True
        if payload == outbox.URGENT:
            self._urgent.set()
        self._wake.set()
