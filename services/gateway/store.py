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


async def write_units(connection: asyncpg.Connection, units: Sequence[Unit]) -> None:
    """Write all units in the transaction that `connection` has open."""
    await outbox.insert_rows(connection, [row for unit in units for row in unit.rows])
    operations = [unit.operation for unit in units if unit.operation is not None]
    if operations:
        await connection.execute(
            "INSERT INTO operations (id, admin_id, action, subject, correlation_id)"
            " SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[])",
            [one.id for one in operations],
            [one.admin_id for one in operations],
            [one.action for one in operations],
            [one.subject for one in operations],
            [one.correlation_id for one in operations],
        )
