"""One connection of its own that writes in transactions, and is there again after every fault."""

from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import asyncpg

from libs.common.database.engine import Database, commit_transaction
from libs.common.database.failures import is_transient

T = TypeVar("T")


class DurableWriter(Generic[T]):
    """Runs `write` inside transactions. One caller at a time; it connects at the first use."""

    def __init__(
        self,
        database: Database,
        write: Callable[[asyncpg.Connection, list[T]], Awaitable[None]],
        *,
        begins: bool = True,
    ) -> None:
        self._database = database
        self._write = write
        self._begins = begins
        self._connection: asyncpg.Connection | None = None

    async def commit(self, items: list[T]) -> None:
        """Return once `items` are durable. After an error the next call starts on a new connection.

        A connection that broke while it lay idle is replaced at once, which is safe for as long as the COMMIT was
        not sent. An error later than that leaves open whether the items were written; so does any error of a
        writer that does not begin, whose one statement commits by itself.
        """
        try:
            if self._begins:
                await commit_transaction(await self._written(items))
            else:
                await self._write(await self._live(), items)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Drop the connection, and with it a transaction that is open."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()

    async def _live(self) -> asyncpg.Connection:
        """The connection, or a new one where the old one is known to be closed."""
        if self._connection is None or self._connection.is_closed():
            self._connection = await self._database.dedicated()
        return self._connection

    async def _written(self, items: list[T]) -> asyncpg.Connection:
        """The connection whose open transaction holds the items."""
        if self._connection is not None:
            try:
                return await self._write_on(self._connection, items)
            except Exception as error:
                if not is_transient(error):
                    raise
                self.close()
        self._connection = await self._database.dedicated()
        return await self._write_on(self._connection, items)

    async def _write_on(self, connection: asyncpg.Connection, items: list[T]) -> asyncpg.Connection:
        await connection.execute("BEGIN")
        await self._write(connection, items)
        return connection
