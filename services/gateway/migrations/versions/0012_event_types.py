"""Types that platforms registered, every version of their schemas, and the count of all changes."""

from alembic import op
from sqlalchemy import text

from libs.common.database import ddl

revision = "0012"
down_revision = "0010"
branch_labels = None
depends_on = None

_CREATE = (
    """
    CREATE TABLE event_types (
        event_type text PRIMARY KEY,
        version integer NOT NULL CHECK (version > 0),
        revision bigint NOT NULL UNIQUE,
        deleted_at timestamptz,
        created_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    "CREATE INDEX event_types_deleted ON event_types (deleted_at) WHERE deleted_at IS NOT NULL",
    """
    CREATE TABLE event_type_versions (
        event_type text NOT NULL REFERENCES event_types ON DELETE CASCADE,
        version integer NOT NULL,
        source text NOT NULL,
        description text NOT NULL,
        json_schema text NOT NULL,
        example text NOT NULL,
        narrows text[] NOT NULL,
        registered_by text NOT NULL,
        registered_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (event_type, version)
    )
    """,
    """
    CREATE TABLE event_types_clock (
        is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
        revision bigint NOT NULL DEFAULT 0
    )
    """,
    "INSERT INTO event_types_clock DEFAULT VALUES",
)


def upgrade() -> None:
    """Three tables: which types there are, what each version says, and how many changes there were."""
    for statement in _CREATE:
        op.execute(statement)
    role = ddl.role()
    op.execute(text(f"GRANT SELECT, INSERT, UPDATE, DELETE ON event_types TO {role}"))
    op.execute(text(f"GRANT SELECT, INSERT, DELETE ON event_type_versions TO {role}"))
    op.execute(text(f"GRANT SELECT, UPDATE ON event_types_clock TO {role}"))


def downgrade() -> None:
    """No type has a schema of a platform's any more; what was registered is in the audit log."""
    op.execute("DROP TABLE event_types_clock, event_type_versions, event_types")
