"""A small pool of plain asyncpg connections for hot reads: no transaction, no layer in between.

Taking one costs a few microseconds where a pooled SQLAlchemy connection costs about a hundred. A
connection that broke, or whose user was cancelled in the middle of a statement, is thrown away.
"""

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType

import asyncpg

from libs.common.database.failures import is_transient, unavailable

WAIT_SECONDS = 1.0


class DirectPool:
    """At most `size` connections; the last one given back is the first one taken."""

    def __init__(self, connect: Callable[[], Awaitable[asyncpg.Connection]], *, size: int) -> None:
        self._connect = connect
        self._free: list[asyncpg.Connection] = []
        self._permits = asyncio.Semaphore(size)

    def take(self) -> "DirectReading":
        """A connection for as long as the block lasts. Raises `Unavailable` when none is free within a second."""
        return DirectReading(self)

    async def acquire(self) -> asyncpg.Connection:
        """A live connection; `release` must follow."""
        if self._permits.locked():
            try:
                async with asyncio.timeout(WAIT_SECONDS):
                    await self._permits.acquire()
            except TimeoutError as error:
                raise unavailable(error) from error
        else:
            await self._permits.acquire()
        try:
            while self._free:
                connection = self._free.pop()
                if not connection.is_closed():
                    return connection
            return await self._connect()
        except BaseException as error:
            self._permits.release()
            if isinstance(error, Exception):
                raise unavailable(error) from error
            raise

    def release(self, connection: asyncpg.Connection, *, broken: bool) -> None:
        """Give it back, or away."""
        if broken:
            connection.terminate()
        elif not connection.is_closed():
            self._free.append(connection)
        self._permits.release()

    async def close(self) -> None:
        """Close the idle connections."""
        free, self._free = self._free, []
        for connection in free:
            connection.terminate()


class DirectReading:
    """One use of a connection."""

    __slots__ = ("_connection", "_pool")

    def __init__(self, pool: DirectPool) -> None:
        self._pool = pool
        self._connection: asyncpg.Connection | None = None

    async def __aenter__(self) -> asyncpg.Connection:
        self._connection = await self._pool.acquire()
        return self._connection

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._connection is not None
        # Cancelled: the connection may be in the middle of anything.
        cancelled = error is not None and not isinstance(error, Exception)
        self._pool.release(self._connection, broken=cancelled)
        if isinstance(error, Exception) and is_transient(error):
            raise unavailable(error) from error
