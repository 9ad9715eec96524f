"""Changes that wait for a second pair of eyes."""

from alembic import op
from sqlalchemy import text

from libs.common.database import ddl

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_CREATE = (
    """
    CREATE TABLE approvals (
        id uuid PRIMARY KEY,
        kind text NOT NULL CHECK (length(kind) <= 64),
        target text NOT NULL CHECK (length(target) <= 512),
        version integer,
        inputs jsonb,
        changes jsonb NOT NULL,
        asked_by text NOT NULL,
        state text NOT NULL DEFAULT 'pending'
            CHECK (state IN ('pending', 'approved', 'rejected', 'withdrawn', 'expired', 'failed')),
        expires_at timestamptz NOT NULL,
        decided_by text,
        decided_at timestamptz,
        reason text CHECK (length(reason) <= 500),
        failure text,
        created_at timestamptz NOT NULL DEFAULT now(),
        CHECK ((inputs IS NOT NULL) = (state = 'pending')),
        CHECK (state NOT IN ('approved', 'rejected', 'failed') OR decided_by IS NOT NULL),
        -- The last of the four eyes, should all code above forget them.
        CHECK (state NOT IN ('approved', 'rejected', 'failed') OR decided_by <> asked_by)
    )
    """,
    "CREATE INDEX approvals_of_target ON approvals (target) WHERE state = 'pending'",
    "CREATE INDEX approvals_expiring ON approvals (expires_at) WHERE state = 'pending'",
    "CREATE INDEX approvals_by_asker ON approvals (asked_by, id DESC)",
)


def upgrade() -> None:
    """Make the table: what was decided is history and never deleted."""
    for statement in _CREATE:
        op.execute(text(statement))
    op.execute(text(f"GRANT SELECT, INSERT, UPDATE ON approvals TO {ddl.role()}"))


def downgrade() -> None:
    """Undo `upgrade`: what waits is made by nobody."""
    op.execute(text("DROP TABLE approvals"))
