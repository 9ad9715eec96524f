"""What the gateway writes for every request: outbox rows, accepted operations and facts, many requests at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import asyncpg
import orjson

from libs.common.database import inbox, outbox
from libs.common.database.engine import Session, driver
from libs.common.database.outbox import OutboxRow
from services.gateway.facts import Fact

TAKEN_OVER_HTTP = "gateway.http"
"""The inbox's consumer of what platforms post."""


@dataclass(frozen=True, slots=True)
class NewOperation:
    """A command that was accepted and whose outcome is awaited."""

    id: str
    admin_id: str
    action: str
    subject: str | None
    correlation_id: str | None


class TakenEvent(NamedTuple):
    """An event of a platform that came over HTTP; its source and id are its name for ever."""

    source: str
    row: OutboxRow


@dataclass(frozen=True, slots=True)
class Unit:
    """What one request leaves behind; written whole or not at all."""

    rows: tuple[OutboxRow, ...]
    operation: NewOperation | None = None
    facts: tuple[Fact, ...] = ()
    taken: tuple[TakenEvent, ...] = ()
    """Written but for those that were taken before."""


_OPERATIONS = """
    INSERT INTO operations (id, admin_id, action, subject, correlation_id)
    SELECT * FROM unnest($10::uuid[], $11::text[], $12::text[], $13::text[], $14::text[])
"""


_FACTS = """
    INSERT INTO security_facts (kind, user_id, client_id, session_id, place, ip_address, user_agent, key, weight, details)
    SELECT * FROM jsonb_to_recordset(${number}::text::jsonb)
        AS fact (kind text, user_id text, client_id text, session_id text, place text, ip_address text, user_agent text,
                 key text, weight integer, details jsonb)
"""


async def write_units(connection: asyncpg.Connection, units: Sequence[Unit]) -> None:
    """Write all units in one statement, which is a transaction of its own where none is open.

    Only where platforms sent events it takes a transaction: they may come again, and are then written no more.
    """
    rows = [row for unit in units for row in unit.rows]
    taken = [one for unit in units for one in unit.taken]
    if not taken:
        await _write(connection, units, rows)
        return
    by_name = {(one.source, one.row.event_id): one.row for one in reversed(taken)}
    async with connection.transaction():
        new = await inbox.admit_foreign(connection, TAKEN_OVER_HTTP, list(by_name))
        rows += [row for name, row in reversed(by_name.items()) if name in new]
        await _write(connection, units, rows)


async def _write(connection: asyncpg.Connection, units: Sequence[Unit], rows: Sequence[OutboxRow]) -> None:
    operations = [unit.operation for unit in units if unit.operation is not None]
    facts = [fact for unit in units for fact in unit.facts]
    if not rows and not facts:
        return
    if not rows:
        await connection.execute(_FACTS.format(number=1), _json(facts))
        return
    also: list[str] = []
    values: list[object] = []
    if operations:
        also.append(_OPERATIONS)
        values += [
            [one.id for one in operations],
            [one.admin_id for one in operations],
            [one.action for one in operations],
            [one.subject for one in operations],
            [one.correlation_id for one in operations],
        ]
    if facts:
        also.append(_FACTS.format(number=outbox.FIRST_VALUE + len(values)))
        values.append(_json(facts))
    await outbox.insert_rows_with(connection, rows, also=also, values=values)


async def note(session: Session, *facts: Fact) -> None:
    """Note facts for the detection of attacks, if the session's transaction commits."""
    await driver(session).execute(_FACTS.format(number=1), _json(facts))


def _json(facts: Sequence[Fact]) -> str:
    return orjson.dumps(facts).decode()
