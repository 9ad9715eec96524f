"""Notifications, who has read them, and alerts."""

from alembic import op
from alembic.operations import Operations
from sqlalchemy import text

from libs.common.database import ddl

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_CREATE = (
    # One row. Whoever adds notifications or changes alerts holds it until the commit: so positions become visible
    # in their order and no administrator's "read everything up to here" covers what was not there to be seen.
    """
    CREATE TABLE turn (
        is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
        last_position bigint NOT NULL DEFAULT 0
    ) WITH (fillfactor = 50)
    """,
    "INSERT INTO turn DEFAULT VALUES",
    """
    CREATE TABLE notifications (
        position bigint PRIMARY KEY,
        id uuid NOT NULL UNIQUE,
        type text NOT NULL,
        priority text NOT NULL CHECK (priority IN ('low', 'normal', 'high', 'critical')),
        title text NOT NULL CHECK (length(title) BETWEEN 1 AND 200),
        message text NOT NULL CHECK (length(message) <= 2000),
        action_required boolean NOT NULL,
        action_url text CHECK (action_url LIKE '/%' AND action_url NOT LIKE '//%'),
        metadata jsonb NOT NULL,
        created_at timestamptz NOT NULL
    )
    """,
    "CREATE INDEX notifications_by_type ON notifications (type, position)",
    "CREATE INDEX notifications_by_priority ON notifications (priority, position)",
    "CREATE INDEX notifications_with_action ON notifications (position) WHERE action_required",
    """
    CREATE TABLE read_marks (
        admin_id text PRIMARY KEY,
        read_up_to bigint NOT NULL,
        generation integer NOT NULL,
        read_at timestamptz NOT NULL
    ) WITH (fillfactor = 70)
    """,
    """
    CREATE TABLE reads (
        admin_id text NOT NULL,
        position bigint NOT NULL REFERENCES notifications (position) ON DELETE CASCADE,
        is_read boolean NOT NULL,
        changed_at timestamptz NOT NULL,
        generation integer NOT NULL,
        PRIMARY KEY (admin_id, position)
    )
    """,
    "CREATE INDEX reads_of_a_notification ON reads (position)",
    "CREATE INDEX reads_taken_back ON reads (admin_id, position) WHERE NOT is_read",
    """
    CREATE TABLE alerts (
        id uuid PRIMARY KEY,
        alert_type text NOT NULL,
        severity text NOT NULL CHECK (severity IN ('info', 'warning', 'error', 'critical')),
        title text NOT NULL CHECK (length(title) BETWEEN 1 AND 200),
        description text NOT NULL CHECK (length(description) <= 2000),
        affected_stores jsonb NOT NULL,
        affected_systems jsonb NOT NULL,
        occurrence_count bigint NOT NULL CHECK (occurrence_count > 0),
        first_occurred_at timestamptz NOT NULL,
        last_occurred_at timestamptz NOT NULL,
        is_resolved boolean NOT NULL DEFAULT false,
        resolved_at timestamptz,
        resolved_by_user_id text,
        resolution_notes text,
        is_acknowledged boolean NOT NULL DEFAULT false,
        acknowledged_by_user_id text,
        assigned_to_user_id text,
        fingerprint text NOT NULL,
        labels jsonb NOT NULL,
        previous_alert_id uuid REFERENCES alerts (id),
        CHECK (is_resolved = (resolved_at IS NOT NULL))
    )
    """,
    "CREATE UNIQUE INDEX alerts_unresolved ON alerts (fingerprint) WHERE NOT is_resolved",
    "CREATE INDEX alerts_by_fingerprint ON alerts (fingerprint, id)",
    "CREATE INDEX alerts_by_type ON alerts (alert_type, id)",
    "CREATE INDEX alerts_by_severity ON alerts (severity, id)",
    "CREATE INDEX alerts_active ON alerts (id) INCLUDE (alert_type, severity) WHERE NOT is_resolved",
    "CREATE INDEX alerts_by_resolution ON alerts (resolved_at) WHERE is_resolved",
)


def upgrade() -> None:
    """Make the tables, and grant the service's role what it does with each: an alert is never deleted."""
    ddl.create_common(Operations(op.get_context()))
    for statement in _CREATE:
        op.execute(text(statement))
    role = ddl.role()
    op.execute(text(f"GRANT SELECT, INSERT, DELETE ON notifications TO {role}"))
    op.execute(text(f"GRANT SELECT, INSERT, UPDATE ON reads, read_marks, alerts TO {role}"))
    op.execute(text(f"GRANT SELECT, UPDATE ON turn TO {role}"))


def downgrade() -> None:
    """Undo `upgrade`."""
    op.execute(text("DROP TABLE alerts, reads, read_marks, notifications, turn"))
    ddl.drop_common(Operations(op.get_context()))
