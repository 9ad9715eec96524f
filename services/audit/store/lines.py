"""The log as lines of JSON that Postgres puts together: whole blocks of them, from several connections in turn."""

import asyncio
import struct
from collections.abc import Awaitable, Callable, Iterator, Sequence

from libs.common.database.engine import Connection
from services.audit.store.exporting import names
from services.audit.store.search import Filters, clause, conditions

PLACES_IN_A_BLOCK = 128
"""Places whose lines Postgres hands over as one text; a line may have 64 KiB."""
_COPY_HEAD = 19
"""Bytes before the first row of a binary COPY: signature, flags, and the length of an extension that is never there."""
_FIELD = struct.Struct(">hi")
"""What stands before each row of one field: how many fields, and the length of this one, which is -1 for none."""

_NEVER_ESCAPED = frozenset({
    "id", "outcome", "severity", "actor_type", "ip_address", "trace_id", "created_at", "recorded_at",
})  # fmt: skip
"""What consists of nothing that JSON escapes: identifiers, addresses, times, words of closed lists."""
_NO_TEXT = frozenset({"sequence", "details", "changes", "redactions"})
_NULLABLE = frozenset({
    "target_type", "target_id", "admin_user_id", "admin_username", "changes", "ip_address", "user_agent", "request_id",
    "operation_id", "trace_id", "redactions",
})  # fmt: skip

Write = Callable[[bytes], Awaitable[None]]


async def copy_lines(
    connections: Sequence[Connection], filters: Filters, *, start: int, stop: int, write: Write
) -> int:
    """Write the JSON lines of a window, in order, as they come; returns how many.

    Each connection makes every n-th block, and writes it when those before it are written: nobody holds more than what
    came in one read.
    """
    turns = [asyncio.Semaphore(0) for _ in connections]
    turns[0].release()

    async def read(place: int) -> int:
        blocks, count, following = Blocks(), 0, turns[(place + 1) % len(turns)]

        async def taken(data: bytes) -> None:
            nonlocal count
            for block in blocks.feed(data):
                await turns[place].acquire()
                await write(block)
                count += block.count(b"\n")
                following.release()

        query, values = _query(filters, start + place * PLACES_IN_A_BLOCK, stop, len(connections) * PLACES_IN_A_BLOCK)
        await connections[place].copy_from_query(query, *values, output=taken, format="binary")
        return count

    try:
        async with asyncio.TaskGroup() as group:
            reading = [group.create_task(read(place)) for place in range(len(connections))]
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from failed
    return sum(one.result() for one in reading)


class Blocks:
    """Takes a binary COPY of one text apart, however it is cut: Postgres' CSV would look at every character."""

    def __init__(self) -> None:
        self._rest = b""
        self._skip = _COPY_HEAD

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The texts that are whole by now; an empty one for none."""
        data = self._rest + data if self._rest else data
        place = min(self._skip, len(data))
        self._skip -= place
        while place + _FIELD.size <= len(data):
            begin = place + _FIELD.size
            end = begin + max(0, _FIELD.unpack_from(data, place)[1])
            if end > len(data):
                break
            yield data[begin:end]
            place = end
        self._rest = data[place:]


def line_expression() -> str:
    """An SQL expression whose value is the entry's JSON object and a line feed, equal to the body that the API answers.

    Looking once at all texts of an entry for something to escape costs Postgres a third of asking `to_json` for each,
    and parts that are joined in halves half of a chain, which copies what it has with every part. `row_to_json` takes
    longer than either. Needs the time zone UTC.
    """
    texts = ", ".join(name for name in names() if name not in _NEVER_ESCAPED | _NO_TEXT)
    plain, escaped = _object(is_escaped=False), _object(is_escaped=True)
    return f"CASE WHEN strpos(to_json(concat({texts}))::text, '\\') = 0 THEN {plain} ELSE {escaped} END"


def _query(filters: Filters, start: int, stop: int, step: int) -> tuple[str, list[object]]:
    """The texts of the blocks that begin at `start` and each `step` places later."""
    where, values = conditions(filters)
    values += [start, stop]
    first, end = f"${len(values) - 1}::bigint", f"${len(values)}::bigint"
    where += ["sequence >= first", f"sequence < least(first + {PLACES_IN_A_BLOCK}, {end})"]
    lines = f"SELECT {line_expression()} AS line FROM entries{clause(where)} ORDER BY sequence"
    return (
        f"SELECT (SELECT string_agg(line, '') FROM ({lines}) AS lines)"
        f" FROM generate_series({first}, {end} - 1, {step}) AS first",
        values,
    )


def _object(*, is_escaped: bool) -> str:
    members = [_member(name, "," if place else "{", is_escaped=is_escaped) for place, name in enumerate(names())]
    return _joined([*members, "E'}\\n'"])


def _joined(parts: Sequence[str]) -> str:
    if len(parts) == 1:
        return parts[0]
    middle = len(parts) // 2
    return f"({_joined(parts[:middle])} || {_joined(parts[middle:])})"


def _member(name: str, before: str, *, is_escaped: bool) -> str:
    key = f'{before}"{name}":'
    match name:
        case "created_at" | "recorded_at":
            # RFC 3339 with `Z` and six decimals.
            value = f'to_char({name}, \'YYYY-MM-DD"T"HH24:MI:SS.US"Z"\')'
        case "ip_address":
            value = "host(ip_address)"
        case _:
            value = f"{name}::text"
    if name in _NO_TEXT:
        member = f"'{key}' || {value}"
    elif is_escaped and name not in _NEVER_ESCAPED:
        member = f"'{key}' || to_json({name})::text"
    else:
        member = f"'{key}\"' || {value} || '\"'"
    return f"coalesce({member}, '{key}null')" if name in _NULLABLE else f"({member})"
