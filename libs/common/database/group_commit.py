"""Group commit: many small durable writes share one transaction, so that each waits but none pays for it alone.

Whoever calls `commit` is answered once a transaction that wrote its item has committed. Everything that waits when
a transaction starts goes into it, so under load the groups grow by themselves and an idle caller waits for nobody.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Generic, Self, TypeVar

import asyncpg

from libs.common.database.durable_writer import DurableWriter
from libs.common.database.engine import Database
from libs.common.database.failures import is_transient
from libs.common.errors import Unavailable

T = TypeVar("T")

FLUSHERS = 2
"""Two connections at most: one group is written while the other one waits for the disk."""
MOST_IN_A_GROUP = 500
WAIT_SECONDS = 5.0
PAUSE_SECONDS = (0.05, 0.1, 0.2, 0.5, 1.0)
"""Rests after groups that failed one after another, so that a database that is gone is not hammered."""


@dataclass(frozen=True, slots=True)
class _Waiting(Generic[T]):
    item: T
    done: asyncio.Future[None]


class GroupCommit(Generic[T]):
    """Durable writes in groups. `commit` works between `start` and `stop`, or inside `async with`.

    `write` gets a connection with a transaction open and the items of one group; it neither begins nor commits.
    With `begins=False` no transaction is open, and `write` must be one statement: a third of the round trips.
    When it raises for a reason of its own, each item of the group is tried alone, so that one that cannot be
    written fails nobody else.
    """

    def __init__(
        self,
        database: Database,
        write: Callable[[asyncpg.Connection, list[T]], Awaitable[None]],
        *,
        most_waiting: int = 4096,
        wait_seconds: float = WAIT_SECONDS,
        code: str = "audit_unavailable",
        begins: bool = True,
    ) -> None:
        self._writers = [DurableWriter(database, write, begins=begins) for _ in range(FLUSHERS)]
        self._most_waiting = most_waiting
        self._wait_seconds = wait_seconds
        self._code = code
        self._waiting: deque[_Waiting[T]] = deque()
        self._wake = asyncio.Event()
        self._flushers: list[asyncio.Task[None]] = []
        self._failures = 0

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    def start(self) -> None:
        """Start flushing; connections are made when the first item comes."""
        # These tasks outlive every request and end in `stop`; they let no error out that a task group could act on.
        self._flushers = [asyncio.create_task(self._flush(writer)) for writer in self._writers]

    async def stop(self) -> None:
        """Write what waits, for at most as long as a caller would wait, and end; what is left then fails."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._wait_seconds):
                await asyncio.gather(*(one.done for one in self._waiting), return_exceptions=True)
        flushers, self._flushers = self._flushers, []
        for flusher in flushers:
            flusher.cancel()
        await asyncio.gather(*flushers, return_exceptions=True)
        self._fail(self._waiting)
        self._waiting.clear()

    async def commit(self, item: T) -> None:
        """Return once `item` is durable. Raises `Unavailable` when that fails, is not known, or takes too long."""
        if len(self._waiting) >= self._most_waiting or not self._flushers:
            raise self._unavailable()
        waiting = _Waiting(item, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        self._wake.set()
        try:
            async with asyncio.timeout(self._wait_seconds):
                await waiting.done
        except TimeoutError as error:
            raise self._unavailable() from error

    async def _flush(self, writer: DurableWriter[T]) -> None:
        try:
            while True:
                await self._settle(writer, await self._next_group())
                if self._failures:
                    await asyncio.sleep(PAUSE_SECONDS[min(self._failures, len(PAUSE_SECONDS)) - 1])
        finally:
            writer.close()

    async def _next_group(self) -> list[_Waiting[T]]:
        """Wait for items and take all that are here. Those whose callers have given up are left out."""
        while True:
            while not self._waiting:
                self._wake.clear()
                await self._wake.wait()
            taken = [self._waiting.popleft() for _ in range(min(len(self._waiting), MOST_IN_A_GROUP))]
            if group := [one for one in taken if not one.done.done()]:
                return group

    async def _settle(self, writer: DurableWriter[T], group: list[_Waiting[T]]) -> None:
        """Write a group and answer everybody in it."""
        try:
            await writer.commit([one.item for one in group])
        except asyncio.CancelledError:
            self._fail(group)
            raise
        except Exception as error:
            if is_transient(error):
                self._failures += 1
            elif len(group) > 1:
                for one in group:
                    await self._settle(writer, [one])
                return
            self._fail(group, error)
        else:
            self._failures = 0
            for one in group:
                if not one.done.done():
                    one.done.set_result(None)

    def _fail(self, group: Iterable[_Waiting[T]], cause: Exception | None = None) -> None:
        for one in group:
            if not one.done.done():
                error = self._unavailable()
                error.__cause__ = cause
                one.done.set_exception(error)

    def _unavailable(self) -> Unavailable:
        return Unavailable("this request cannot be recorded now, so it is not served", code=self._code)
