"""What is to be sent to one person, and what became of it."""

from alembic import op
from sqlalchemy import text

from libs.common.database import ddl

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_CREATE = (
    """
    CREATE TABLE deliveries (
        id uuid PRIMARY KEY,
        channel text NOT NULL,
        kind text NOT NULL,
        user_id text NOT NULL,
        state text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'sent', 'failed')),
        sealed text NOT NULL,
        attempts integer NOT NULL DEFAULT 0,
        next_at timestamptz NOT NULL DEFAULT now(),
        last_error text,
        correlation_id text,
        created_at timestamptz NOT NULL DEFAULT now(),
        expires_at timestamptz NOT NULL,
        ended_at timestamptz,
        CHECK ((state = 'waiting') = (ended_at IS NULL)),
        CHECK (state = 'waiting' OR sealed = '')
    )
    """,
    "CREATE INDEX deliveries_due ON deliveries (next_at) WHERE state = 'waiting'",
    "CREATE INDEX deliveries_by_end ON deliveries (ended_at) WHERE ended_at IS NOT NULL",
)


def upgrade() -> None:
    """One table, and what the service's role does with it."""
    for statement in _CREATE:
        op.execute(text(statement))
    op.execute(text(f"GRANT SELECT, INSERT, UPDATE, DELETE ON deliveries TO {ddl.role()}"))


def downgrade() -> None:
    """What waits is not sent any more."""
    op.execute(text("DROP TABLE deliveries"))
