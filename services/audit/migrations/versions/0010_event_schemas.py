"""The schemas that platforms registered for their own types, as the audit service learned them from their events."""

from alembic import op
from sqlalchemy import text

from libs.common.database import ddl

revision = "0010"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """One new table. A type that was deleted stays as a row without a schema, so that older news of it change nothing."""
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


def downgrade() -> None:
    """Undo `upgrade`; a later upgrade learns what is registered from then on."""
    op.execute(text("DROP TABLE event_schemas"))
