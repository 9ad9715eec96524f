"""The outbox: messages that commit together with the change they tell of, and how the relay takes them out.

Writers only append. The relay claims rows by their state and never by position, since a lower position may
become visible after a higher one; a claim gives each row its number for ever, before it is published.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import asyncpg

from libs.common.broker.topology import COMMANDS, EVENTS, Queue
from libs.common.database.engine import Session, driver
from libs.common.events.envelope import Event, encode

EVENTS_STREAM = "events"
"""The stream of everything on the events exchange; a command's stream is its queue's name."""
MOST_COUNTED = 10_001

URGENT = "urgent"
"""What a notification says when somebody waits for one of the rows: a command among them."""

_ADDED = """
    added AS (
        INSERT INTO outbox (event_id, exchange, routing_key, stream, type, subject, body, correlation_id, reply_to)
        SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bytea[],
                             $8::text[], $9::text[])
    )"""
_NOTIFY = f"""
    SELECT pg_notify('outbox_' || current_schema(), CASE WHEN '{COMMANDS}' = ANY($2::text[]) THEN '{URGENT}' ELSE '' END)
"""
_INSERT = f"WITH {_ADDED} {_NOTIFY}"
FIRST_VALUE = 10
"""The number of the first parameter that `insert_rows_with` leaves to its caller."""
_COLUMNS = (
    "event_id, exchange, routing_key, type, subject, body, correlation_id, reply_to, position, stream, producer_seq"
)


def _claim(which: str) -> str:
    return f"""
    WITH picked AS (
        SELECT position, stream, ctid AS place FROM outbox WHERE {which}
        ORDER BY position LIMIT $1 FOR UPDATE SKIP LOCKED
    ), counted AS (
        SELECT stream, count(*) AS rows FROM picked GROUP BY stream
    ), advanced AS (
        INSERT INTO outbox_counter AS counter (stream, last) SELECT stream, rows FROM counted ORDER BY stream
        ON CONFLICT (stream) DO UPDATE SET last = counter.last + EXCLUDED.last
        RETURNING stream, last
    ), given AS (
        SELECT picked.place,
               advanced.last - counted.rows
                   + row_number() OVER (PARTITION BY picked.stream ORDER BY picked.position) AS number
        FROM picked JOIN counted USING (stream) JOIN advanced USING (stream)
    ), numbered AS (
        UPDATE outbox SET producer_seq = given.number FROM given WHERE outbox.ctid = given.place
        RETURNING {_COLUMNS}
    )
    SELECT * FROM numbered ORDER BY position
    """  # noqa: S608 - only constants


_CLAIM = _claim("producer_seq IS NULL")
_CLAIM_COMMANDS = _claim(f"producer_seq IS NULL AND exchange = '{COMMANDS}'")
# An outbox is empty now and has a million rows a minute later. A plan made for the one and kept for the other reads the
# whole table for each batch (measured: 100 ms a claim), and planning each time more than doubles an idle claim. So the
# relay's connection keeps one plan, and may use only what is right for both: the indexes, and rows by their address.
_LEAD = """
    WITH planned AS (
        SELECT set_config('plan_cache_mode', 'force_generic_plan', false), set_config('enable_seqscan', 'off', false),
               set_config('enable_hashjoin', 'off', false), set_config('enable_mergejoin', 'off', false)
    )
    SELECT pg_try_advisory_lock(hashtextextended($1, 0)) FROM planned
"""
_UNFINISHED = f"""
    SELECT {_COLUMNS} FROM outbox WHERE producer_seq IS NOT NULL AND position > $2 ORDER BY position LIMIT $1
"""  # noqa: S608 - only constants
# A deletion that a crash undoes is repeated by publishing again under the same number, so it need not wait for the disk.
_FORGET = """
    WITH relaxed AS (SELECT set_config('synchronous_commit', 'off', true))
    DELETE FROM outbox USING relaxed WHERE position = ANY($1::bigint[])
"""
_BACKLOG = f"""
    SELECT (SELECT count(*) FROM (SELECT FROM outbox LIMIT {MOST_COUNTED}) AS counted) AS count,
           coalesce((SELECT extract(epoch FROM clock_timestamp() - created_at)
                     FROM outbox ORDER BY position LIMIT 1), 0)::float8 AS oldest_seconds
"""  # noqa: S608 - only constants


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """One message as it will be published; `body` is its structured CloudEvent."""

    event_id: str
    exchange: str
    routing_key: str
    type: str
    subject: str | None
    body: bytes
    correlation_id: str | None
    reply_to: str | None

    @property
    def numbered_in(self) -> str:
        """The stream that this row gets its number in: whoever sees a whole stream sees no gap."""
        return EVENTS_STREAM if self.exchange == EVENTS else self.routing_key


@dataclass(frozen=True, slots=True)
class ClaimedRow(OutboxRow):
    """A row with its number, which it keeps through every crash until it is forgotten."""

    position: int
    stream: str
    producerseq: int


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits in an outbox: the rows, counted up to 10,001, and the age of the first of them."""

    count: int
    oldest_seconds: float


def outbox_row(event: Event) -> OutboxRow:
    """An event, to everybody: the events exchange, routed by its type."""
    return OutboxRow(
        event_id=event.id, exchange=EVENTS, routing_key=event.type, type=event.type, subject=event.subject,
        body=encode(event), correlation_id=event.correlationid, reply_to=None,
    )  # fmt: skip


def command_row(command: Event, *, queue: Queue, reply_to: str | None) -> OutboxRow:
    """A command, to the one service that reads `queue`; the answer goes to the queue `reply_to` names."""
    return OutboxRow(
        event_id=command.id, exchange=queue.exchange, routing_key=queue.name, type=command.type, subject=command.subject,
        body=encode(command), correlation_id=command.correlationid, reply_to=reply_to,
    )  # fmt: skip


async def append(session: Session, rows: Sequence[OutboxRow]) -> None:
    """Add rows that are published if, and only if, the session's transaction commits."""
    await insert_rows(driver(session), rows)


async def emit(session: Session, *events: Event) -> None:
    """Announce events to everybody, if the session's transaction commits."""
    await append(session, [outbox_row(event) for event in events])


async def insert_rows(connection: asyncpg.Connection, rows: Sequence[OutboxRow]) -> None:
    """`append` on a connection of asyncpg: one statement, however many rows."""
    if rows:
        await connection.execute(_INSERT, *_columns_of(rows))


async def insert_rows_with(
    connection: asyncpg.Connection, rows: Sequence[OutboxRow], *, also: Sequence[str], values: Sequence[object]
) -> None:
    """`insert_rows` and further INSERTs in the same statement, so that all are one round trip and one transaction.

    `also` are those INSERTs, their parameters counted from `FIRST_VALUE` on; `values` are theirs. There must be rows.
    """
    others = "".join(f", also_{number} AS ({one})" for number, one in enumerate(also))
    await connection.execute(f"WITH {_ADDED}{others} {_NOTIFY}", *_columns_of(rows), *values)


def _columns_of(rows: Sequence[OutboxRow]) -> Iterable[tuple[object, ...]]:
    return zip(
        *(
            (
                r.event_id,
                r.exchange,
                r.routing_key,
                r.numbered_in,
                r.type,
                r.subject,
                r.body,
                r.correlation_id,
                r.reply_to,
            )
            for r in rows
        ),
        strict=True,
    )


async def lead(connection: asyncpg.Connection, schema: str) -> bool:
    """Become the one relay of `schema` for as long as this connection lives; False while another one is."""
    return bool(await connection.fetchval(_LEAD, f"reeve.outbox.{schema}"))


async def claim(connection: asyncpg.Connection, most: int = 500) -> list[ClaimedRow]:
    """Number up to `most` rows that have no number yet, gapless per stream, and return them in order, committed."""
    return [ClaimedRow(*record) for record in await connection.fetch(_CLAIM, most)]


async def claim_commands(connection: asyncpg.Connection, most: int = 500) -> list[ClaimedRow]:
    """`claim` of commands alone, for which somebody waits; they pass by events, which are other streams."""
    return [ClaimedRow(*record) for record in await connection.fetch(_CLAIM_COMMANDS, most)]


async def unfinished(connection: asyncpg.Connection, most: int = 500, after: int = 0) -> list[ClaimedRow]:
    """Rows beyond position `after` that an earlier relay numbered and never forgot: published, perhaps."""
    return [ClaimedRow(*record) for record in await connection.fetch(_UNFINISHED, most, after)]


async def forget(connection: asyncpg.Connection, positions: Sequence[int]) -> None:
    """Delete published rows. May be undone by a crash of the database: then they are published again."""
    await connection.execute(_FORGET, positions)


async def backlog(source: Session | asyncpg.Connection) -> Backlog:
    """How many rows wait, and for how long the first of them has."""
    connection = driver(source) if isinstance(source, Session) else source
    found = await connection.fetchrow(_BACKLOG)
    return Backlog(count=found["count"], oldest_seconds=max(0.0, found["oldest_seconds"]))
