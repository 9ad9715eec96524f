"""How claimed outbox rows become messages: consecutive rows of one kind travel together.

A message is the cost, not the event. Nothing waits to fill up: what one claim brought is packed.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from libs.common.broker.topology import EVENTS
from libs.common.broker.transport import Message
from libs.common.database.outbox import ClaimedRow
from libs.common.events.envelope import BATCH, STRUCTURED, pack, splice_producerseq

MOST_EVENTS = 50
MOST_BYTES = 64 * 1024
FIRST_NUMBER = "x-reeve-first"
LAST_NUMBER = "x-reeve-last"
"""Headers: the producer's numbers of a message's first and last event, so that nobody parses to know its place."""


@dataclass(slots=True)
class Pack:
    """Rows of one exchange, routing key, type and reply queue, in position order."""

    key: tuple[str, str, str, str | None]
    rows: list[ClaimedRow]
    subjects: set[tuple[str, str]]
    size: int

    @property
    def type(self) -> str:
        """The wire type that all rows share."""
        return self.key[2]


def packs(rows: Sequence[ClaimedRow]) -> Iterator[Pack]:
    """Consecutive rows of one stream and kind, at most 50 events or 64 KiB each, in order within every stream."""
    open_packs: dict[str, Pack] = {}
    for row in rows:
        key = (row.exchange, row.routing_key, row.type, row.reply_to)
        current = open_packs.get(row.stream)
        if (
            current is None
            or current.key != key
            or len(current.rows) == MOST_EVENTS
            or current.size + len(row.body) > MOST_BYTES
        ):
            if current is not None:
                yield current
            current = Pack(key=key, rows=[], subjects=set(), size=0)
            open_packs[row.stream] = current
        current.rows.append(row)
        current.size += len(row.body) + 32
        if row.subject is not None:
            current.subjects.add((row.stream, row.subject))
    yield from open_packs.values()


def to_message(pack_: Pack, *, producer: str) -> Message:
    """One message: structured mode for a single event, batch mode for several."""
    exchange, routing_key, kind, reply_to = pack_.key
    bodies = [splice_producerseq(row.body, row.producerseq) for row in pack_.rows]
    first = pack_.rows[0]
    single = len(bodies) == 1
    mirrored = _mirror(bodies[0]) if single and exchange == EVENTS else {}
    return Message(
        body=bodies[0] if single else pack(bodies),
        content_type=STRUCTURED if single else BATCH,
        exchange=exchange,
        routing_key=routing_key,
        message_id=str(first.event_id),
        type=kind,
        app_id=producer,
        headers={
            **mirrored,
            FIRST_NUMBER: str(first.producerseq),
            LAST_NUMBER: str(pack_.rows[-1].producerseq),
        },
        correlation_id=first.correlation_id,
        reply_to=reply_to,
    )


def _mirror(body: bytes) -> dict[str, Any]:
    """The attributes as `cloudEvents_*` string headers, for consumers of events that route by them."""
    found = orjson.loads(body)
    found.pop("data", None)
    return {f"cloudEvents_{name}": str(value) for name, value in found.items()}
