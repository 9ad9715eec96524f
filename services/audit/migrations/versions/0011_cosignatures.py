"""Cosignatures of the log's heads by witnesses."""

from alembic import op
from sqlalchemy import text

from libs.common.database import ddl

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_CREATE = (
    """
    CREATE TABLE log_cosignatures (
        size bigint NOT NULL,
        witness text NOT NULL,
        key_id bytea NOT NULL CHECK (octet_length(key_id) = 4),
        cosigned_at timestamptz NOT NULL,
        line text NOT NULL CHECK (octet_length(line) <= 8192),
        PRIMARY KEY (witness, key_id, size)
    )
    """,
    "CREATE INDEX log_cosignatures_sizes ON log_cosignatures (size)",
    "CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON log_cosignatures FOR EACH ROW EXECUTE FUNCTION refuse_change()",
    "CREATE TRIGGER no_truncate BEFORE TRUNCATE ON log_cosignatures FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()",
)


def upgrade() -> None:
    """One table, whose rows are written once: what a witness said of a size is not taken back."""
    for statement in _CREATE:
        op.execute(text(statement))
    op.execute(text(f"GRANT SELECT, INSERT ON log_cosignatures TO {ddl.role()}"))


def downgrade() -> None:
    """Undo `upgrade`."""
    op.execute(text("DROP TABLE log_cosignatures"))
