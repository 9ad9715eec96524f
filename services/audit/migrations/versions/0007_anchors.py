"""How far each anchor of the log's heads is, and the answers of time-stampers."""

from alembic import op
from sqlalchemy import text

from libs.common.database import ddl

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_CREATE = (
    """
    CREATE TABLE log_anchors (
        anchor text PRIMARY KEY,
        size bigint,
        anchored_at timestamptz,
        failures integer NOT NULL DEFAULT 0,
        error text
    )
    """,
    """
    CREATE TABLE log_timestamps (
        size bigint PRIMARY KEY,
        answer bytea NOT NULL CHECK (octet_length(answer) <= 65536),
        stamped_at timestamptz NOT NULL DEFAULT clock_timestamp()
    )
    """,
    "CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON log_timestamps FOR EACH ROW EXECUTE FUNCTION refuse_change()",
    "CREATE TRIGGER no_truncate BEFORE TRUNCATE ON log_timestamps FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()",
)


def upgrade() -> None:
    """Two tables; answers of time-stampers are written once."""
    for statement in _CREATE:
        op.execute(text(statement))
    role = ddl.role()
    op.execute(text(f"GRANT SELECT, INSERT, UPDATE ON log_anchors TO {role}"))
    op.execute(text(f"GRANT SELECT, INSERT ON log_timestamps TO {role}"))


def downgrade() -> None:
    """Undo `upgrade`."""
    op.execute(text("DROP TABLE log_anchors, log_timestamps"))
