"""The inbox: tells a first sight from a repetition, for ever and in bounded space.

A producer numbers its messages 1, 2, 3 ... in each stream, so a consumer needs to keep only the number up to which
it has seen them all, and the few seen beyond a hole. Consumers are named after the one queue they read: numbers
of different streams must never meet under one name. Messages that nobody numbers are remembered by source and id.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import asyncpg

from libs.common.database.engine import Session, driver

_LOCK = """
    SELECT producer, watermark, above FROM inbox WHERE consumer = $1 AND producer = ANY($2::text[])
    ORDER BY producer FOR UPDATE
"""
_INTRODUCE = """
    INSERT INTO inbox (consumer, producer) SELECT $1, producer FROM unnest($2::text[]) AS producer ORDER BY producer
    ON CONFLICT DO NOTHING
"""
_SEEN = """
    SELECT producer_seq FROM inbox_seen WHERE consumer = $1 AND producer = $2 AND producer_seq = ANY($3::bigint[])
"""
_ADD_SEEN = """
    INSERT INTO inbox_seen (consumer, producer, producer_seq) SELECT $1, $2, number FROM unnest($3::bigint[]) AS number
"""
# Numbers seen beyond the watermark form islands; the one that begins right after it moves it forward.
_JOINED = """
    SELECT max(producer_seq) FROM (
        SELECT producer_seq, producer_seq - row_number() OVER (ORDER BY producer_seq) AS island
        FROM inbox_seen WHERE consumer = $1 AND producer = $2 AND producer_seq > $3
    ) AS numbered WHERE island = $3
"""
_DROP_SEEN = "DELETE FROM inbox_seen WHERE consumer = $1 AND producer = $2 AND producer_seq <= $3"
_SAVE = """
    UPDATE inbox SET watermark = saved.watermark, above = saved.above
    FROM unnest($2::text[], $3::bigint[], $4::bigint[]) AS saved (producer, watermark, above)
    WHERE inbox.consumer = $1 AND inbox.producer = saved.producer
"""
_MOVE = """
    WITH locked AS (
        SELECT producer, watermark, above FROM inbox WHERE consumer = $1 AND producer = ANY($2::text[])
        ORDER BY producer FOR UPDATE
    )
    UPDATE inbox SET watermark = found.last
    FROM locked JOIN unnest($2::text[], $3::bigint[], $4::bigint[]) AS found (producer, before, last) USING (producer)
    WHERE inbox.consumer = $1 AND inbox.producer = locked.producer
      AND locked.watermark = found.before AND locked.above = 0
    RETURNING inbox.producer
"""
_LOCK_CROWDED = """
    SELECT consumer, producer, watermark, above FROM inbox
    WHERE above > $1 OR EXISTS (
        SELECT FROM inbox_seen AS seen
        WHERE seen.consumer = inbox.consumer AND seen.producer = inbox.producer
          AND seen.seen_at < now() - make_interval(secs => $2 * 86400)
    )
    ORDER BY consumer, producer FOR UPDATE
"""
_CLOSED = """
    SELECT coalesce(max(producer_seq), 0) FROM (
        SELECT producer_seq, seen_at, row_number() OVER (ORDER BY producer_seq DESC) AS newest
        FROM inbox_seen WHERE consumer = $1 AND producer = $2
    ) AS ranked WHERE newest > $3 OR seen_at < now() - make_interval(secs => $4 * 86400)
"""
_PRUNE_FOREIGN = """
    DELETE FROM inbox_foreign AS old USING (
        SELECT consumer, source, event_id,
               row_number() OVER (PARTITION BY consumer ORDER BY seen_at DESC, source, event_id) AS newest, seen_at
        FROM inbox_foreign
    ) AS ranked
    WHERE (newest > $1 OR ranked.seen_at < now() - make_interval(secs => $2 * 86400))
      AND old.consumer = ranked.consumer AND old.source = ranked.source AND old.event_id = ranked.event_id
    RETURNING 1
"""
_ADMIT_FOREIGN = """
    INSERT INTO inbox_foreign (consumer, source, event_id)
    SELECT $1, source, event_id FROM unnest($2::text[], $3::text[]) AS arrived (source, event_id)
    ORDER BY source, event_id
    ON CONFLICT DO NOTHING RETURNING source, event_id
"""


class Arrival(NamedTuple):
    """What tells one message from another. `producer` is empty and `producerseq` None where nobody numbers."""

    producer: str
    producerseq: int | None
    source: str
    event_id: str


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a consumer has seen a producer: everything up to `watermark`, and `above` numbers beyond."""

    watermark: int
    above: int


async def admit(session: Session, *, consumer: str, arrivals: Sequence[Arrival]) -> list[bool]:
    """Which arrivals are seen for the first time; they are recorded in the session's transaction.

    The answer is in the order of `arrivals`; of one that is in there twice, the first counts. Concurrent callers
    of one consumer wait for each other.
    """
    numbers: dict[str, list[int]] = {}
    foreign: dict[tuple[str, str], None] = {}
    for arrival in arrivals:
        if arrival.producer and arrival.producerseq is not None:
            numbers.setdefault(arrival.producer, []).append(arrival.producerseq)
        else:
            foreign[arrival.source, arrival.event_id] = None
    new_numbers = await _admit_numbers(session, consumer, numbers) if numbers else {}
    new_foreign = await admit_foreign(driver(session), consumer, list(foreign)) if foreign else set()
    return [_take(arrival, new_numbers, new_foreign) for arrival in arrivals]


async def admit_foreign(
    connection: asyncpg.Connection, consumer: str, keys: Sequence[tuple[str, str]]
) -> set[tuple[str, str]]:
    """Of messages that nobody numbers, by source and id: those seen for the first time, recorded in the open transaction."""
    rows = await connection.fetch(_ADMIT_FOREIGN, consumer, [k[0] for k in keys], [k[1] for k in keys])
    return {(row["source"], row["event_id"]) for row in rows}


def fresh(progress: Progress, numbers: Iterable[int], seen: frozenset[int]) -> set[int]:
    """The numbers that are neither at or below the watermark nor among those `seen` beyond it."""
    return {number for number in numbers if number > progress.watermark and number not in seen}


def contiguous(watermark: int, numbers: set[int]) -> int:
    """The watermark after `numbers` came: the last one reached from it without a hole."""
    while watermark + 1 in numbers:
        watermark += 1
    return watermark


async def prune(session: Session, *, most_rows: int, older_than_days: float) -> int:
    """Bound what is kept beyond the watermarks, by rows per consumer and by age; returns how many rows went.

    Holes below what goes are closed: a number that comes for one later counts as seen. Unnumbered messages are
    forgotten instead: one that is repeated later counts as new.
    """
    connection = driver(session)
    gone = 0
    for row in await connection.fetch(_LOCK_CROWDED, most_rows, older_than_days):
        progress = Progress(row["watermark"], row["above"])
        key = (row["consumer"], row["producer"])
        closed = await connection.fetchval(_CLOSED, *key, most_rows, older_than_days)
        after = await _compact(session, *key, Progress(max(closed, progress.watermark), progress.above))
        await connection.execute(_SAVE, key[0], [key[1]], [after.watermark], [after.above])
        gone += progress.above - after.above
    gone += len(await connection.fetch(_PRUNE_FOREIGN, most_rows, older_than_days))
    return gone


async def _admit_numbers(session: Session, consumer: str, numbers: Mapping[str, list[int]]) -> dict[str, set[int]]:
    moved = await _follow(session, consumer, {one: found for one, found in numbers.items() if _are_in_line(found)})
    rest = {producer: found for producer, found in numbers.items() if producer not in moved}
    return {**moved, **(await _admit_any(session, consumer, rest) if rest else {})}


def _are_in_line(numbers: list[int]) -> bool:
    return numbers == list(range(numbers[0], numbers[0] + len(numbers)))


async def _follow(session: Session, consumer: str, numbers: Mapping[str, list[int]]) -> dict[str, set[int]]:
    """Move the watermarks that these numbers follow on, with nothing seen beyond them, in one statement; which those are."""
    if not numbers:
        return {}
    before, last = [found[0] - 1 for found in numbers.values()], [found[-1] for found in numbers.values()]
    rows = await driver(session).fetch(_MOVE, consumer, list(numbers), before, last)
    return {row["producer"]: set(numbers[row["producer"]]) for row in rows}


async def _admit_any(session: Session, consumer: str, numbers: Mapping[str, list[int]]) -> dict[str, set[int]]:
    known = await _lock(session, consumer, sorted(numbers))
    admitted: dict[str, set[int]] = {}
    saved: dict[str, Progress] = {}
    for producer, progress in known.items():
        new = await _fresh(session, consumer, producer, progress, numbers[producer])
        admitted[producer] = set(new)
        if new:
            saved[producer] = await _record(session, consumer, producer, progress, new)
    if saved:
        await driver(session).execute(
            _SAVE, consumer, list(saved), [p.watermark for p in saved.values()], [p.above for p in saved.values()]
        )
    return admitted


async def _lock(session: Session, consumer: str, producers: Sequence[str]) -> dict[str, Progress]:
    connection = driver(session)
    rows = await connection.fetch(_LOCK, consumer, producers)
    if len(rows) < len(producers):
        await connection.execute(_INTRODUCE, consumer, producers)
        rows = await connection.fetch(_LOCK, consumer, producers)
    return {row["producer"]: Progress(row["watermark"], row["above"]) for row in rows}


async def _fresh(session: Session, consumer: str, producer: str, progress: Progress, numbers: list[int]) -> set[int]:
    new = fresh(progress, numbers, frozenset())
    if not new or progress.above == 0:
        return new
    rows = await driver(session).fetch(_SEEN, consumer, producer, list(new))
    return fresh(progress, new, frozenset(row["producer_seq"] for row in rows))


async def _record(session: Session, consumer: str, producer: str, progress: Progress, new: set[int]) -> Progress:
    watermark = contiguous(progress.watermark, new)
    beyond = [number for number in new if number > watermark]
    if beyond:
        await driver(session).execute(_ADD_SEEN, consumer, producer, beyond)
    after = Progress(watermark, progress.above + len(beyond))
    if watermark > progress.watermark and after.above > 0:
        return await _compact(session, consumer, producer, after)
    return after


async def _compact(session: Session, consumer: str, producer: str, progress: Progress) -> Progress:
    """Move the watermark over what was seen right behind it, and drop what lies below it."""
    connection = driver(session)
    joined = await connection.fetchval(_JOINED, consumer, producer, progress.watermark)
    watermark = progress.watermark if joined is None else joined
    dropped = await connection.execute(_DROP_SEEN, consumer, producer, watermark)
    return Progress(watermark, progress.above - int(dropped.removeprefix("DELETE ")))


def _take(arrival: Arrival, numbers: dict[str, set[int]], foreign: set[tuple[str, str]]) -> bool:
    """Whether this arrival is new; takes it out, so that its repetition in the same batch is not."""
    if arrival.producer and arrival.producerseq is not None:
        new = numbers[arrival.producer]
        if arrival.producerseq in new:
            new.remove(arrival.producerseq)
            return True
        return False
    key = (arrival.source, arrival.event_id)
    if key in foreign:
        foreign.remove(key)
        return True
    return False
