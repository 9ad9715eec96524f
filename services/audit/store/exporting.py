"""Reading the log in its own order for exports: windows of sequence numbers, as rows or as lines of JSON."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import asyncpg

from libs.common.database.engine import Connection
from services.audit.store.search import SHOWN, Filters, clause, conditions

ROWS_IN_A_FETCH = 500
"""Rows in memory at once; one may have 64 KiB."""
# Bytes that JSON texts never hold as they are, so that CSV's delimiter and quote stand for nothing: a line goes out bare.
_DELIMITER, _QUOTE = "\x02", "\x01"

_SAFE = frozenset({"id", "outcome", "severity", "actor_type", "trace_id"})
"""Texts that consist of what JSON never escapes: identifiers, hexadecimal digits, words of closed lists."""
_NULLABLE = frozenset({
    "target_type", "target_id", "admin_user_id", "admin_username", "changes", "ip_address", "user_agent", "request_id",
    "operation_id", "trace_id",
})  # fmt: skip


def names() -> Sequence[str]:
    """The members of an entry as the API answers it, in their order."""
    return [column.rpartition(" AS ")[2] for column in SHOWN]


def line_expression() -> str:
    """An SQL expression whose value is the entry's JSON object, equal to the body that the API answers.

    Postgres puts the text together, which leaves nothing to do here for each row: `row_to_json` takes nearly twice as
    long, and rows that are decoded and encoded here three times. Needs `timezone` UTC and `datestyle` ISO.
    """
    members = [f"'\"{name}\":' || {_value(name)}" for name in names()]
    return "'{' || " + " || ',' || ".join(members) + " || '}'"


async def end_of_log(connection: Connection) -> int:
    """The place behind the last committed entry; below it nothing is ever added."""
    return int(await connection.fetchval("SELECT size FROM log_state"))


async def prepare(connection: Connection) -> None:
    """Have times written as the lines need them, for the life of the connection."""
    await connection.execute("SELECT set_config('timezone', 'UTC', false), set_config('datestyle', 'ISO', false)")


async def copy_lines(
    connection: Connection, filters: Filters, *, start: int, stop: int, write: Callable[[bytes], Awaitable[None]]
) -> int:
    """Write the JSON lines of a window, in order, as they come; returns how many."""
    where, values = _window(filters, start, stop)
    query = f"SELECT {line_expression()} FROM entries{clause(where)} ORDER BY sequence"
    done: str = await connection.copy_from_query(
        query, *values, output=write, format="csv", delimiter=_DELIMITER, quote=_QUOTE, encoding="utf-8"
    )
    return int(done.rpartition(" ")[2])


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


def _value(name: str) -> str:
    match name:
        case "sequence":
            return "sequence"
        case "details":
            return "details::text"
        case "created_at" | "recorded_at":
            return f"'\"' || {_time(name)} || '\"'"
        case "changes":
            text = "changes::text"
        case "ip_address":
            text = "'\"' || host(ip_address) || '\"'"
        case _ if name in _SAFE:
            text = f"'\"' || {name} || '\"'"
        case _:
            text = f"to_json({name})::text"
    return f"coalesce({text}, 'null')" if name in _NULLABLE else text


def _time(name: str) -> str:
    """RFC 3339 with `Z` and six decimals: the text is `2026-01-31 12:00:00.5+00`, without zeros at its end."""
    text = f"replace(left({name}::text, -3), ' ', 'T')"
    return f"rpad(CASE length({text}) WHEN 19 THEN {text} || '.' ELSE {text} END, 26, '0') || 'Z'"
