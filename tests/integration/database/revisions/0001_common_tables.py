"""The tables that all services share, and nothing else."""

from alembic import op

from libs.common.database.ddl import create_common, drop_common

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the common tables."""
    create_common(op)


def downgrade() -> None:
    """Drop the common tables."""
    drop_common(op)
