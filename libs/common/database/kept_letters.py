"""Dead letters as an operator finds them: counted by what they have in common, and taken out one by one.

Whoever takes a letter out locks its row, so that of several only one does, in the transaction of the letter's effects.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from libs.common.database.dead_letters import DeadLetter
from libs.common.database.engine import Session, driver

MOST_GROUPS = 1_000
"""Groups that a summary names; there are few reasons and senders, but types are whatever a sender says."""

_NOT_ELSEWHERE = """
    NOT EXISTS (SELECT FROM unnest({}::text[], {}::text[]) AS other (queue, reason)
                WHERE dead_letters.queue = other.queue AND starts_with(dead_letters.reason, other.reason))
"""
# Of a reason, what stands before the colon is ours; what follows may name types and sources of the message.
_SUMMARY = """
    SELECT queue, CASE WHEN starts_with(reason, 'failed ') THEN reason ELSE split_part(reason, ':', 1) END AS reason,
           coalesce(type, '') AS type, coalesce(sender, '') AS sender, count(*) AS count,
           min(received_at) AS first_at, max(received_at) AS last_at
    FROM dead_letters WHERE {not_elsewhere} GROUP BY 1, 2, 3, 4 ORDER BY first_at, 1, 2, 3, 4 LIMIT $1
"""
_NEXT = """
    SELECT id, queue, reason, body, headers::text AS headers, content_type, message_id, type, sender, received_at
    FROM dead_letters
    WHERE queue = ANY($1::text[]) AND starts_with(reason, $2) AND ($3::uuid IS NULL OR id = $3)
      AND ($4::timestamptz IS NULL OR (received_at, id) > ($4, $5::uuid)) AND {not_elsewhere}
    ORDER BY received_at, id LIMIT 1
"""
_SUMMARY = _SUMMARY.format(not_elsewhere=_NOT_ELSEWHERE.format("$2", "$3"))
_NEXT = _NEXT.format(not_elsewhere=_NOT_ELSEWHERE.format("$6", "$7"))
_LOCK = "SELECT FROM dead_letters WHERE id = $1 FOR UPDATE SKIP LOCKED"
_DROP = "DELETE FROM dead_letters WHERE id = $1"


@dataclass(frozen=True, slots=True)
class Group:
    """Letters of one queue, reason, type and sender. `type` and `sender` are empty where the message had none."""

    queue: str
    reason: str
    type: str
    sender: str
    count: int
    first_at: datetime
    last_at: datetime


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which letters are asked for: those of these queues whose reason begins so, or one of them by its id.

    Letters of a queue and a beginning of a reason that are `elsewhere` are left out.
    """

    queues: Sequence[str]
    reason: str = ""
    id: UUID | None = None
    elsewhere: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True, slots=True)
class KeptLetter:
    """A letter and when it came to lie here."""

    letter: DeadLetter
    received_at: datetime


async def summarize(session: Session, *, elsewhere: Sequence[tuple[str, str]] = ()) -> Sequence[Group]:
    """What lies here and not `elsewhere`, the oldest group first; nothing of what a message says but its type."""
    return [Group(**row) for row in await driver(session).fetch(_SUMMARY, MOST_GROUPS, *_columns(elsewhere))]


async def find_next(session: Session, wanted: Wanted, *, after: KeptLetter | None) -> KeptLetter | None:
    """The oldest of the wanted letters, behind `after` where that is given; None when there is none left."""
    place: tuple[Any, Any] = (None, None) if after is None else (after.received_at, after.letter.id)
    row = await driver(session).fetchrow(
        _NEXT, list(wanted.queues), wanted.reason, wanted.id, *place, *_columns(wanted.elsewhere)
    )
    if row is None:
        return None
    return KeptLetter(
        DeadLetter(
            id=str(row["id"]), queue=row["queue"], reason=row["reason"], body=row["body"],
            headers=orjson.loads(row["headers"]), content_type=row["content_type"], message_id=row["message_id"],
            type=row["type"], sender=row["sender"],
        ),
        row["received_at"],
    )  # fmt: skip


async def lock(session: Session, letter_id: str) -> bool:
    """Have this letter to oneself until the commit; False when it is gone or in somebody else's hands."""
    return await driver(session).fetchrow(_LOCK, letter_id) is not None


async def drop(session: Session, letter_id: str) -> None:
    """Let it go, if the session's transaction commits."""
    await driver(session).execute(_DROP, letter_id)


def _columns(pairs: Sequence[tuple[str, str]]) -> tuple[list[str], list[str]]:
    return [one for one, _ in pairs], [other for _, other in pairs]
