"""Exports as background jobs, and a number for each account and security event, in whose order they are read."""

from alembic import op
from alembic.operations import Operations
from sqlalchemy import text

from libs.common.database import ddl

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_NUMBERED = ("users", "security_events")


def upgrade() -> None:
    """One new table, which the service's role may write; what is there already is numbered by age."""
    ddl.create_exports(Operations(op.get_context()))
    for table in _NUMBERED:
        op.execute(text(f"ALTER TABLE {table} ADD COLUMN number bigint"))
        op.execute(
            text(
                f"UPDATE {table} SET number = aged.number FROM"
                f" (SELECT id, row_number() OVER (ORDER BY id) AS number FROM {table}) AS aged WHERE aged.id = {table}.id"
            )
        )
        op.execute(text(f"ALTER TABLE {table} ALTER COLUMN number SET NOT NULL"))
        op.execute(text(f"ALTER TABLE {table} ALTER COLUMN number ADD GENERATED ALWAYS AS IDENTITY"))
        op.execute(
            text(
                f"SELECT setval(pg_get_serial_sequence('{table}', 'number'), coalesce(max(number), 0) + 1, false)"
                f" FROM {table}"
            )
        )
        op.execute(text(f"CREATE UNIQUE INDEX {table}_by_number ON {table} (number)"))


def downgrade() -> None:
    """Undo `upgrade`."""
    for table in _NUMBERED:
        op.execute(text(f"ALTER TABLE {table} DROP COLUMN number"))
    ddl.drop_exports(Operations(op.get_context()))
