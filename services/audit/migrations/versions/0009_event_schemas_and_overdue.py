"""The schemas that platforms registered, as the audit service learned them; and entries that no signed head reaches in time."""

from alembic import op
from sqlalchemy import text

from libs.common.database import ddl

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Two new tables. A type that was deleted stays as a row without a schema, so that older news of it change nothing; what
    is overdue is one row, empty while nothing is."""
    op.execute(
        text(
            """
            CREATE TABLE event_schemas (
                event_type text PRIMARY KEY,
                version integer NOT NULL,
                revision bigint NOT NULL,
                json_schema text,
                learned_at timestamptz NOT NULL DEFAULT clock_timestamp()
            )
            """
        )
    )
    op.execute(text("CREATE INDEX event_schemas_revisions ON event_schemas (revision)"))
    op.execute(text(f"GRANT SELECT, INSERT, UPDATE, DELETE ON event_schemas TO {ddl.role()}"))
    op.execute(
        text(
            """
            CREATE TABLE log_overdue (
                is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
                first bigint,
                since timestamptz
            )
            """
        )
    )
    op.execute(text("INSERT INTO log_overdue DEFAULT VALUES"))
    op.execute(text(f"GRANT SELECT, UPDATE ON log_overdue TO {ddl.role()}"))


def downgrade() -> None:
    """Undo `upgrade`; a later upgrade learns what is registered from then on."""
    op.execute(text("DROP TABLE log_overdue, event_schemas"))
