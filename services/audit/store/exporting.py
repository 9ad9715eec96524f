"""Reading the log in its own order for exports: windows of sequence numbers, as rows or as lines of JSON."""

import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import asyncpg

from libs.common.database.engine import Connection
from services.audit.store.search import SHOWN, Filters, clause, conditions

ROWS_IN_A_FETCH = 500
"""Rows in memory at once; one may have 64 KiB."""
_COPY_HEAD = 19
"""Bytes before the first row of a binary COPY: signature, flags, and the length of an extension that is never there."""
_FIELD = struct.Struct(">hi")
"""What stands before each row of one field: how many fields, and the length of this one; -1 fields at the end."""

_QUOTED = frozenset({"id", "outcome", "severity", "actor_type", "created_at", "recorded_at"})
"""What is always there and consists of what JSON never escapes: identifiers, times, words of closed lists."""
_NULLABLE = frozenset({
    "target_type", "target_id", "admin_user_id", "admin_username", "changes", "ip_address", "user_agent", "request_id",
    "operation_id", "trace_id", "redactions",
})  # fmt: skip


def names() -> Sequence[str]:
    """The members of an entry as the API answers it, in their order."""
    return [column.rpartition(" AS ")[2] for column in SHOWN]


def line_expression() -> str:
    """An SQL expression whose value is the entry's JSON object, equal to the body that the API answers.

    Postgres puts the text together, which leaves nothing to do here for each row: `row_to_json` takes nearly twice as
    long, and rows that are decoded and encoded here three times. Needs the time zone UTC.
    """
    parts: list[str] = []
    text = "{"
    for name in names():
        comma, quote = "," if parts else "", '"' if name in _QUOTED else ""
        parts += [f"'{text}{comma}\"{name}\":{quote}'", _value(name)]
        text = quote
    return " || ".join([*parts, f"'{text}}}'"])


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


async def copy_lines(
    connection: Connection, filters: Filters, *, start: int, stop: int, write: Callable[[bytes], Awaitable[None]]
) -> int:
    """Write the JSON lines of a window, in order, as they come; returns how many."""
    where, values = _window(filters, start, stop)
    query = f"SELECT {line_expression()} FROM entries{clause(where)} ORDER BY sequence"
    lines = Lines()

    async def taken(data: bytes) -> None:
        await write(lines.feed(data))

    await connection.copy_from_query(query, *values, output=taken, format="binary")
    return lines.count


class Lines:
    """Takes a binary COPY of one text apart, however it is cut: a third less work for Postgres than CSV, which looks
    at every character for what it would have to quote."""

    def __init__(self) -> None:
        self.count = 0
        self._rest = b""
        self._skip = _COPY_HEAD

    def feed(self, data: bytes) -> bytes:
        """The texts that are whole by now, each as a line."""
        data = self._rest + data if self._rest else data
        place = min(self._skip, len(data))
        self._skip -= place
        size, texts, unpack = len(data), [], _FIELD.unpack_from
        while place + 6 <= size:
            end = place + 6 + unpack(data, place)[1]
            if end > size:
                break
            texts.append(data[place + 6 : end])
            place = end
        self._rest = data[place:]
        self.count += len(texts)
        texts.append(b"")
        return b"\n".join(texts)


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
        case "created_at" | "recorded_at":
            # RFC 3339 with `Z` and six decimals.
            return f'to_char({name}, \'YYYY-MM-DD"T"HH24:MI:SS.US"Z"\')'
        case "sequence" | "id" | "outcome" | "severity" | "actor_type":
            return name
        case "details" | "changes" | "redactions":
            text = f"{name}::text"
        case "ip_address":
            text = "'\"' || host(ip_address) || '\"'"
        case "trace_id":
            text = "'\"' || trace_id || '\"'"
        case _:
            text = f"to_json({name})::text"
    return f"coalesce({text}, 'null')" if name in _NULLABLE else text
