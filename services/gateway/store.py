"""What the gateway writes for every request: outbox rows and accepted operations, many requests at once."""

from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg

from libs.common.database import outbox
from libs.common.database.outbox import OutboxRow


@dataclass(frozen=True, slots=True)
class NewOperation:
    """A command that was accepted and whose outcome is awaited."""

    id: str
    admin_id: str
    action: str
    subject: str | None
    correlation_id: str | None


@dataclass(frozen=True, slots=True)
class Unit:
    """What one request leaves behind; written whole or not at all."""

    rows: tuple[OutboxRow, ...]
    operation: NewOperation | None = None


_OPERATIONS = """
    INSERT INTO operations (id, admin_id, action, subject, correlation_id)
    SELECT * FROM unnest($10::uuid[], $11::text[], $12::text[], $13::text[], $14::text[])
"""


async def write_units(connection: asyncpg.Connection, units: Sequence[Unit]) -> None:
    """Write all units in one statement, which is a transaction of its own where none is open."""
    rows = [row for unit in units for row in unit.rows]
    operations = [unit.operation for unit in units if unit.operation is not None]
    if not operations:
        await outbox.insert_rows(connection, rows)
        return
    values = (
        [one.id for one in operations],
        [one.admin_id for one in operations],
        [one.action for one in operations],
        [one.subject for one in operations],
        [one.correlation_id for one in operations],
    )
    await outbox.insert_rows_with(connection, rows, also=_OPERATIONS, values=values)
