"""Links that work once, and questions for one that wait to be answered."""

from alembic import op
from sqlalchemy import text

from libs.common.database import ddl

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_CREATE = (
    # Of the token only its hash: whoever reads this table can open nothing with it. Ended links stay for a while, to be
    # counted by.
    """
    CREATE TABLE links (
        id uuid PRIMARY KEY,
        user_id uuid NOT NULL REFERENCES users (id),
        purpose text NOT NULL CHECK (purpose IN ('activation', 'password_reset')),
        token_hash bytea NOT NULL UNIQUE CHECK (length(token_hash) = 32),
        state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'used', 'replaced', 'ended')),
        created_at timestamptz NOT NULL DEFAULT now(),
        expires_at timestamptz NOT NULL,
        ended_at timestamptz,
        CHECK ((state = 'open') = (ended_at IS NULL))
    )
    """,
    "CREATE UNIQUE INDEX links_open ON links (user_id, purpose) WHERE state = 'open'",
    "CREATE INDEX links_of_a_user ON links (user_id, created_at)",
    """
    CREATE TABLE reset_requests (
        id uuid PRIMARY KEY,
        email text NOT NULL,
        origin jsonb NOT NULL,
        correlation_id text NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now()
    )
    """,
)


def upgrade() -> None:
    """Two tables of the gateway's own."""
    for statement in _CREATE:
        op.execute(statement)
    role = ddl.role()
    op.execute(text(f"GRANT SELECT, INSERT, UPDATE, DELETE ON links TO {role}"))
    op.execute(text(f"GRANT SELECT, INSERT, UPDATE, DELETE ON reset_requests TO {role}"))


def downgrade() -> None:
    """No link that was sent works any more."""
    op.execute("DROP TABLE reset_requests, links")
