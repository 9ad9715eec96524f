"""Which files made of the log hold what was erased since."""

from collections.abc import Sequence
from uuid import UUID

import orjson

from libs.common.database.engine import Session, driver
from services.audit.models.redactions import ACTS_AS_ADMIN, Subject
from services.audit.store.search import EXACT

_LIVE = """
    SELECT id, ends, filters::text AS filters FROM exports
    WHERE source = 'audit' AND state IN ('running', 'succeeded') AND ends IS NOT NULL
"""


async def holding(session: Session, subject: Subject) -> Sequence[UUID]:
    """The exports, made or being made, whose set has an entry that tells of the subject.

    What was sought in private members cannot be known any more, so such a filter rules no entry out.
    """
    rows = await driver(session).fetch(_LIVE)
    return [UUID(int=row["id"].int) for row in rows if await _holds(session, subject, row["ends"], row["filters"])]


async def _holds(session: Session, subject: Subject, ends: int, filters: str) -> bool:
    asked = orjson.loads(filters)
    values: list[object] = [subject.type, subject.id, ends]
    where = [
        f"((admin_user_id = $2 AND $1 = '{ACTS_AS_ADMIN}') OR (target_type = $1 AND target_id = $2))",
        "sequence < $3", "redactions IS NOT NULL",
    ]  # fmt: skip
    for name in (*EXACT, "outcome", "severity"):
        if name in asked:
            values.append(asked[name])
            where.append(f"{name} = ANY(${len(values)}::text[])")
    for operator, name in ((">=", "date_from"), ("<", "date_to")):
        if name in asked:
            values.append(asked[name])
            where.append(f"created_at {operator} (${len(values)}::text)::timestamptz")
    sql = f"SELECT EXISTS (SELECT FROM entries WHERE {' AND '.join(where)})"
    return bool(await driver(session).fetchval(sql, *values))
