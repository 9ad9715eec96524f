"""One service's way into Postgres: a bounded pool, transactions that are visible in the caller's body, raw access.

A `Session` is a connection inside one transaction that whoever opened it ends. Everything that Postgres
cannot answer now rises as `Unavailable`; what it refuses (a violated constraint, a wrong statement) rises as it is.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeAlias

import asyncpg
import orjson
from sqlalchemy import event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from libs.common.database.direct import DirectPool, DirectReading
from libs.common.database.failures import is_transient, unavailable

Session: TypeAlias = AsyncConnection
"""One transaction (or, from `reading()`, one connection without any). Stores take it first and never commit."""

Connection: TypeAlias = asyncpg.Connection
"""A plain connection outside the pool, as `Database.dedicated` gives it."""

POOL_WAIT_SECONDS = 1.0
DIRECT_CONNECTIONS = 4
"""Plain connections for hot reads beside the pool: each read holds one for less than a millisecond."""
CONNECT_SECONDS = 5.0
ROLLBACK_SECONDS = 2.0
PING_SECONDS = 2.0

# Before version 18 Postgres reads the pages of a bitmap one after the other, and with this many at once in a third of the
# time (1,300 pages: 130 ms, 45 ms). It is 0 where the system cannot, and nothing else may be set there.
_READ_AHEAD = """
    SELECT set_config('effective_io_concurrency', '32', false)
    WHERE current_setting('effective_io_concurrency')::int BETWEEN 1 AND 31
"""

__all__ = ["Connection", "Database", "Session", "driver", "is_transient"]


class Database:
    """A pool of connections that see one schema. Nothing connects before the first use."""

    def __init__(
        self,
        url: str,
        *,
        schema: str,
        application: str,
        pool_size: int = 10,
        statement_timeout_seconds: float = 10,
    ) -> None:
        self.schema = schema
        self.most_connections = pool_size
        self._url = url
        self._application = application
        self._statement_timeout_seconds = statement_timeout_seconds
        self._engine = create_async_engine(
            "postgresql+asyncpg://",
            async_creator=self.dedicated,
            # Transactions are begun and ended below, where a COMMIT that did not commit can be seen.
            isolation_level="AUTOCOMMIT",
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=POOL_WAIT_SECONDS,
            pool_use_lifo=True,
            pool_reset_on_return=None,
            # Postgres writes 1e20 as an integer of 21 digits; this reads it as the number it was.
            json_deserializer=orjson.loads,
        )
        event.listen(self._engine.sync_engine, "checkout", _refuse_closed)
        # The pool alone would give a connection that comes free to whoever asks at that moment, before those who wait.
        self._turns = asyncio.Semaphore(pool_size)
        self._direct = DirectPool(self.dedicated, size=min(pool_size, DIRECT_CONNECTIONS))

    def transaction(self) -> AbstractAsyncContextManager[Session]:
        """One transaction, committed when the block ends and rolled back when it raises.

        Connections are given out in the order in which they are asked for. Raises `Unavailable` when no connection is free within a second, and when the database is gone
        before the commit is known to have happened.
        """
        return self._transaction()

    def reading(self) -> AbstractAsyncContextManager[Session]:
        """A connection without a transaction: every statement stands alone and costs one round trip."""
        return self._connection()

    def direct(self) -> DirectReading:
        """`reading()` for hot paths: a plain asyncpg connection, which `driver` takes as it is."""
        return self._direct.take()

    async def ping(self) -> None:
        """Return when the database answers within two seconds, else raise `Unavailable`."""
        try:
            async with asyncio.timeout(PING_SECONDS), self.reading() as session:
                await session.exec_driver_sql("SELECT 1")
        except TimeoutError as error:
            raise unavailable(error) from error

    async def dedicated(self) -> asyncpg.Connection:
        """A connection of the same settings outside the pool, for LISTEN and loops; the caller closes it.

        It takes and returns json and jsonb as JSON text.
        """
        connection = await asyncpg.connect(
            self._url,
            timeout=CONNECT_SECONDS,
            # The server ends a slow statement; this ends the wait for a server that no longer speaks.
            command_timeout=self._statement_timeout_seconds + 2,
            server_settings={
                "application_name": self._application,
                "search_path": self.schema,
                "statement_timeout": f"{int(self._statement_timeout_seconds * 1000)}",
                "lock_timeout": "5000",
                "idle_in_transaction_session_timeout": "30000",
                "jit": "off",
                # A machine that vanished must not hold its locks, the relay's above all, for the two hours of TCP.
                "tcp_keepalives_idle": "20",
                "tcp_keepalives_interval": "5",
                "tcp_keepalives_count": "3",
            },
        )
        try:
            await connection.execute(_READ_AHEAD, timeout=CONNECT_SECONDS)
        except BaseException:
            connection.terminate()
            raise
        return connection

    async def close(self) -> None:
        """Close the pool's connections. Dedicated ones are closed by those who asked for them."""
        await self._direct.close()
        await self._engine.dispose()

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Session]:
        await self._turn()
        try:
            try:
                session = await self._engine.connect()
            except Exception as error:
                raise unavailable(error) from error
            try:
                yield session
            except Exception as error:
                if is_transient(error):
                    raise unavailable(error) from error
                raise
            finally:
                await session.close()
        finally:
            self._turns.release()

    async def _turn(self) -> None:
        if not self._turns.locked():
            await self._turns.acquire()
            return
        try:
            async with asyncio.timeout(POOL_WAIT_SECONDS):
                await self._turns.acquire()
        except TimeoutError as error:
            raise unavailable(error) from error

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[Session]:
        async with self._connection() as session:
            connection = driver(session)
            try:
                await connection.execute("BEGIN")
                yield session
                await commit_transaction(connection)
            except Exception:
                await _rollback(connection)
                raise
            except BaseException:
                # Cancelled: the connection may be in the middle of anything, and nothing may be awaited now.
                connection.terminate()
                raise


def driver(session: Session | asyncpg.Connection) -> asyncpg.Connection:
    """The asyncpg connection below `session`, in the same transaction: for COPY, arrays and volume.

    It takes json and jsonb as JSON text and returns them parsed. Use savepoints through `session.begin_nested()`;
    asyncpg's own `transaction()` refuses here.
    """
    if not isinstance(session, AsyncConnection):
        return session
    below = session.sync_connection
    assert below is not None
    connection: Any = below.connection.driver_connection
    return connection


async def commit_transaction(connection: asyncpg.Connection) -> None:
    """Commit the transaction that is open on `connection`, or raise when it had come to nothing before."""
    ended = await connection.execute("COMMIT")
    if ended != "COMMIT":
        # Postgres answers COMMIT with ROLLBACK, and no error, after a statement failed and nobody let it rise.
        raise RuntimeError("the transaction was rolled back because a statement in it had failed")


async def _rollback(connection: asyncpg.Connection) -> None:
    if connection.is_closed() or not connection.is_in_transaction():
        return
    try:
        await connection.execute("ROLLBACK", timeout=ROLLBACK_SECONDS)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError):
        connection.terminate()


def _refuse_closed(dbapi_connection: Any, _record: object, _proxy: object) -> None:
    """Have the pool replace a connection that the server closed while it lay idle: no round trip, no failed request."""
    if dbapi_connection.driver_connection.is_closed():
        raise DisconnectionError("closed while idle")
