"""An index by which the relay finds commands among many events that wait."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Commands are claimed for themselves; the condition is that of `libs.common.database.outbox.claim_commands`."""
    op.execute(
        "CREATE INDEX outbox_commands ON outbox (position) WHERE producer_seq IS NULL AND exchange = 'reeve.commands'"
    )


def downgrade() -> None:
    """The relay finds them without it, more slowly."""
    op.execute("DROP INDEX outbox_commands")
