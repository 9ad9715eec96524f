"""Dead letters: messages that a consumer could not take, kept whole with the reason, so that they can be replayed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import orjson
from sqlalchemy import text

from libs.common.database.engine import Session, driver
from libs.common.ids import new_id

_INSERT = """
    INSERT INTO dead_letters (id, queue, message_id, type, sender, reason, body, headers, content_type)
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bytea[],
                         $8::jsonb[], $9::text[])
"""
_FORGET = """
    DELETE FROM dead_letters WHERE EXISTS (SELECT FROM unnest($1::bytea[]) AS said WHERE position(said IN body) > 0)
    RETURNING 1
"""
_PRUNE = """
    DELETE FROM dead_letters WHERE id IN (
        SELECT id FROM (
            SELECT id, received_at, row_number() OVER (ORDER BY received_at DESC, id DESC) AS newest FROM dead_letters
        ) AS ranked
        WHERE newest > $1 OR received_at < now() - make_interval(secs => $2 * 86400)
    ) RETURNING 1
"""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One message as it came, and why it was not taken. `reason` must not carry what the message says."""

    queue: str
    reason: str
    body: bytes
    message_id: str | None = None
    type: str | None = None
    sender: str | None = None
    headers: Mapping[str, object] = field(default_factory=dict)
    content_type: str | None = None
    producer: str = ""
    """The service whose outbox it came from; nobody but who replays it asks."""
    id: str = field(default_factory=new_id)


async def append(session: Session, letters: Sequence[DeadLetter]) -> None:
    """Keep these letters, if the session's transaction commits."""
    if not letters:
        return
    columns = zip(
        *(
            (x.id, x.queue, x.message_id, x.type, x.sender, x.reason, x.body, _json(x.headers), x.content_type)
            for x in letters
        ),
        strict=True,
    )
    await driver(session).execute(_INSERT, *columns)


async def note_repetition(session: Session, letters: Sequence[DeadLetter]) -> None:
    """These came again and lie here already: nothing is kept of that."""


def elsewhere() -> Mapping[str, str]:
    """Nothing: every letter here is replayed by the operator's command (`libs.common.delivery.replays`)."""
    return {}


async def count(session: Session) -> int:
    """How many letters lie here, of all queues."""
    return int((await session.execute(text("SELECT count(*) FROM dead_letters"))).scalar_one())


async def forget_about(session: Session, *said: str) -> int:
    """Let go of letters that say one of these, as UTF-8; returns how many. What nobody applied by then never is."""
    forgotten = await driver(session).fetch(_FORGET, [one.encode() for one in said])
    return len(forgotten)


async def prune(session: Session, *, most_rows: int, older_than_days: float) -> int:
    """Bound what is kept, by rows and by age, the oldest first; returns how many letters went."""
    return len(await driver(session).fetch(_PRUNE, most_rows, older_than_days))


def _json(headers: Mapping[str, object]) -> str:
    """Headers as JSON text; what JSON has no form for is written as text, and NUL, which Postgres refuses, as U+FFFD."""
    written = orjson.dumps(dict(headers), default=_text, option=orjson.OPT_NON_STR_KEYS).decode()
    return written.replace("\\u0000", "\ufffd")


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
