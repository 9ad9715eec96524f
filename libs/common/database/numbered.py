"""Reading a table in the order of `number`, an identity column: for exports. Whoever is exported first got it first."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import asyncpg
from sqlalchemy import Select
from sqlalchemy.dialects.postgresql import asyncpg as asyncpg_dialect

from libs.common.database.engine import Connection

ROWS_IN_A_FETCH = 100
"""Rows in memory at once, and between two turns of whoever else lives in this process."""


async def end_of(connection: Connection, table: str) -> int:
    """The number behind the last committed row; no row is ever added below it.

    Numbers become visible out of order, so whoever has one and has not committed yet is waited for: by a lock that every
    writer of the table stands against, held for the look alone. Raises what `lock_timeout` raises.
    """
    async with connection.transaction():
        await connection.execute(f"LOCK TABLE {table} IN SHARE MODE")
        return int(await connection.fetchval(f"SELECT coalesce(max(number), 0) + 1 FROM {table}"))  # noqa: S608 - a name


async def rows_of(connection: Connection, statement: Select[Any]) -> AsyncIterator[Sequence[asyncpg.Record]]:
    """What a statement finds, a few rows at a time; uuid as the driver has it, json as text."""
    compiled = statement.compile(
        dialect=asyncpg_dialect.dialect(),  # type: ignore[no-untyped-call]
        compile_kwargs={"render_postcompile": True},
    )
    values = [compiled.params[name] for name in compiled.positiontup or ()]
    async with connection.transaction(readonly=True):
        cursor = await connection.cursor(str(compiled), *values)
        while found := await cursor.fetch(ROWS_IN_A_FETCH):
            yield found
