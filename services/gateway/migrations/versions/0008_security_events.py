"""Security events, the rules that raise them, and the facts that the rules judge."""

from alembic import op
from sqlalchemy import text

from libs.common.database import ddl

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_CREATE = (
    """
    CREATE TABLE security_facts (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        position bigint UNIQUE,
        noted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        kind text NOT NULL,
        user_id text,
        client_id text,
        session_id text,
        place text,
        ip_address text,
        user_agent text,
        key text,
        weight integer NOT NULL DEFAULT 1 CHECK (weight > 0),
        details jsonb NOT NULL DEFAULT '{}'
    )
    """,
    "CREATE INDEX security_facts_unjudged ON security_facts (id) WHERE position IS NULL",
    "CREATE INDEX security_facts_by_age ON security_facts (noted_at)",
    """
    CREATE TABLE security_clock (
        is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
        position bigint NOT NULL DEFAULT 0,
        at timestamptz NOT NULL DEFAULT 'epoch'
    )
    """,
    "INSERT INTO security_clock DEFAULT VALUES",
    """
    CREATE TABLE security_rules (
        name text PRIMARY KEY,
        kind text NOT NULL,
        group_by text NOT NULL,
        threshold integer NOT NULL CHECK (threshold > 0),
        window_seconds integer NOT NULL CHECK (window_seconds > 0),
        cooldown_seconds integer NOT NULL CHECK (cooldown_seconds >= 0),
        severity text NOT NULL,
        enabled boolean NOT NULL,
        description text NOT NULL,
        is_builtin boolean NOT NULL DEFAULT false,
        version integer NOT NULL DEFAULT 1,
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    """
    CREATE TABLE security_events (
        id uuid PRIMARY KEY,
        fingerprint text NOT NULL UNIQUE,
        event_type text NOT NULL,
        severity text NOT NULL,
        rule text NOT NULL,
        subject text NOT NULL,
        count bigint NOT NULL,
        user_id text,
        ip_address text,
        user_agent text,
        details jsonb NOT NULL,
        resolved boolean NOT NULL DEFAULT false,
        resolved_by text,
        resolved_at timestamptz,
        notes text,
        created_at timestamptz NOT NULL,
        last_at timestamptz NOT NULL,
        outbox_position bigint,
        told_by text
    )
    """,
    "CREATE INDEX security_events_of_rule ON security_events (rule, subject, created_at DESC)",
    "CREATE INDEX idx_security_events_created_at ON security_events (created_at)",
    "CREATE INDEX security_events_of_user ON security_events (user_id, id DESC) WHERE user_id IS NOT NULL",
    "CREATE INDEX security_events_open ON security_events (severity, event_type) WHERE NOT resolved",
    "CREATE INDEX security_events_untold ON security_events (id) WHERE severity = 'critical' AND told_by IS NULL",
)


def upgrade() -> None:
    """Four tables: what happened, in the order it was judged; where that order is; by what rules; what they raised."""
    for statement in _CREATE:
        op.execute(statement)
    tables = "security_facts, security_rules, security_events"
    role = ddl.role()
    op.execute(text(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {tables} TO {role}"))
    op.execute(text(f"GRANT SELECT, UPDATE ON security_clock TO {role}"))


def downgrade() -> None:
    """Nothing is detected any more; what was detected is in the audit log."""
    op.execute("DROP TABLE security_events, security_rules, security_clock, security_facts")
