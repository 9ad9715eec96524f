"""Exports as background jobs, and searches that administrators keep."""

from alembic import op
from alembic.operations import Operations
from sqlalchemy import text

from libs.common.database import ddl

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Two new tables, which the service's role may write."""
    ddl.create_exports(Operations(op.get_context()))
    op.execute(
        text(
            """
            CREATE TABLE saved_searches (
                id uuid PRIMARY KEY,
                owner_id text NOT NULL,
                owner_name text,
                name text NOT NULL,
                filters jsonb NOT NULL,
                is_shared boolean NOT NULL,
                created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
                UNIQUE (owner_id, name)
            )
            """
        )
    )
    op.execute(text("CREATE INDEX saved_searches_shared ON saved_searches (id DESC) WHERE is_shared"))
    op.execute(text(f"GRANT SELECT, INSERT, DELETE ON saved_searches TO {ddl.role()}"))


def downgrade() -> None:
    """Undo `upgrade`."""
    op.execute(text("DROP TABLE saved_searches"))
    ddl.drop_exports(Operations(op.get_context()))
