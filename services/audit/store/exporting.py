"""Reading the log in its own order for exports: windows of sequence numbers, as rows."""

from collections.abc import AsyncIterator, Sequence

import asyncpg

from libs.common.database.engine import Connection
from services.audit.store.search import SHOWN, Filters, clause, conditions

ROWS_IN_A_FETCH = 500
"""Rows in memory at once; one may have 64 KiB."""


def names() -> Sequence[str]:
    """The members of an entry as the API answers it, in their order."""
    return [column.rpartition(" AS ")[2] for column in SHOWN]


async def end_of_log(connection: Connection) -> int:
    """The place behind the last committed entry; below it nothing is ever added."""
    return int(await connection.fetchval("SELECT size FROM log_state"))


async def prepare(connection: Connection) -> None:
    """Have times written in UTC and windows read in the order of the index, for the life of the connection.

    Left to itself the planner sorts a window's lines, whole as they are, which trebles what they cost; and it knows
    nothing of a partition that has just been filled.
    """
    await connection.execute(
        "SELECT set_config('timezone', 'UTC', false), set_config('enable_sort', 'off', false),"
        " set_config('enable_seqscan', 'off', false), set_config('enable_bitmapscan', 'off', false)"
    )


async def rows(
    connection: Connection, filters: Filters, *, start: int, stop: int
) -> AsyncIterator[Sequence[asyncpg.Record]]:
    """The entries of a window as records of `SHOWN`, in order, a few at a time."""
    where, values = _window(filters, start, stop)
    async with connection.transaction(readonly=True):
        cursor = await connection.cursor(
            f"SELECT {', '.join(SHOWN)} FROM entries{clause(where)} ORDER BY sequence", *values
        )
        while found := await cursor.fetch(ROWS_IN_A_FETCH):
            yield found


def _window(filters: Filters, start: int, stop: int) -> tuple[list[str], list[object]]:
    where, values = conditions(filters)
    values += [start, stop]
    return [*where, f"sequence >= ${len(values) - 1}", f"sequence < ${len(values)}"], values
