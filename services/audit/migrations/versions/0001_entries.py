"""Entries in monthly partitions, append-only by grants and by triggers."""

from alembic import op
from alembic.operations import Operations
from sqlalchemy import text

from libs.common.database import ddl

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_CREATE = (
    """
    CREATE TABLE entries (
        sequence bigint NOT NULL,
        recorded_at timestamptz NOT NULL,
        id uuid NOT NULL,
        event_id text NOT NULL,
        event_type text NOT NULL,
        action text NOT NULL,
        target_type text,
        target_id text,
        admin_user_id text,
        admin_username text,
        actor_type text NOT NULL,
        outcome text NOT NULL CHECK (outcome IN ('success', 'denied', 'failure')),
        severity text NOT NULL CHECK (severity IN ('info', 'warning', 'error', 'critical')),
        details jsonb NOT NULL,
        changes jsonb,
        ip_address inet,
        user_agent text,
        request_id text,
        operation_id text,
        trace_id text,
        correlation_id text,
        source text NOT NULL,
        producer text NOT NULL,
        producer_seq bigint,
        created_at timestamptz NOT NULL,
        words text[] NOT NULL,
        UNIQUE (sequence, recorded_at)
    ) PARTITION BY RANGE (recorded_at)
    """,
    "CREATE TABLE entries_default PARTITION OF entries DEFAULT",
    "CREATE INDEX entries_time ON entries (created_at DESC, sequence DESC)",
    "CREATE INDEX entries_admin ON entries (admin_user_id, created_at DESC, sequence DESC) WHERE admin_user_id IS NOT NULL",
    "CREATE INDEX entries_action ON entries (action, created_at DESC, sequence DESC)",
    "CREATE INDEX entries_target ON entries (target_type, target_id, created_at DESC, sequence DESC)"
    " WHERE target_type IS NOT NULL",
    "CREATE INDEX entries_source ON entries (source, created_at DESC, sequence DESC)",
    "CREATE INDEX entries_request ON entries (request_id) WHERE request_id IS NOT NULL",
    "CREATE INDEX entries_operation ON entries (operation_id) WHERE operation_id IS NOT NULL",
    "CREATE INDEX entries_address ON entries (ip_address) WHERE ip_address IS NOT NULL",
    "CREATE INDEX entries_outcome ON entries (outcome, created_at DESC, sequence DESC) WHERE outcome <> 'success'",
    "CREATE INDEX entries_severity ON entries (severity, created_at DESC, sequence DESC) WHERE severity <> 'info'",
    # array_to_tsvector takes the words as they are; the pending list keeps the index off the way in.
    "CREATE INDEX entries_words ON entries USING gin (array_to_tsvector(words))",
    "CREATE TABLE log_state (is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only), size bigint NOT NULL)",
    "INSERT INTO log_state (size) VALUES (0)",
    """
    CREATE TABLE facets (
        kind text NOT NULL CHECK (kind IN ('action', 'target_type')),
        value text NOT NULL,
        first_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (kind, value)
    )
    """,
    """
    CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'audit entries are append-only' USING ERRCODE = 'insufficient_privilege';
    END $$
    """,
    "CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON entries FOR EACH ROW EXECUTE FUNCTION refuse_change()",
    "CREATE TRIGGER no_truncate BEFORE TRUNCATE ON entries FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()",
    "CREATE TRIGGER no_truncate BEFORE TRUNCATE ON entries_default FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()",
    # Only the owner may make tables; the service may ask for the partitions of the months to come, and nothing else.
    """
    CREATE FUNCTION make_partitions(months integer) RETURNS integer LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = audit, pg_temp AS $$
    DECLARE
        made integer := 0;
        first date;
        name text;
    BEGIN
        IF months NOT BETWEEN 0 AND 24 THEN
            RAISE EXCEPTION 'months must be 0..24';
        END IF;
        PERFORM pg_advisory_xact_lock(hashtextextended('reeve.audit.partitions', 0));
        FOR ahead IN 0..months LOOP
            first := (date_trunc('month', now() AT TIME ZONE 'UTC') + make_interval(months => ahead))::date;
            name := 'entries_' || to_char(first, 'YYYY_MM');
            CONTINUE WHEN to_regclass('audit.' || name) IS NOT NULL;
            EXECUTE format(
                'CREATE TABLE %I PARTITION OF entries FOR VALUES FROM (%L) TO (%L)', name,
                to_char(first, 'YYYY-MM-DD') || ' 00:00:00+00',
                to_char(first + interval '1 month', 'YYYY-MM-DD') || ' 00:00:00+00'
            );
            EXECUTE format(
                'CREATE TRIGGER no_truncate BEFORE TRUNCATE ON %I FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()', name
            );
            EXECUTE format('ALTER INDEX %I SET (gin_pending_list_limit = 65536)', name || '_array_to_tsvector_idx');
            made := made + 1;
        END LOOP;
        RETURN made;
    END $$
    """,
    "REVOKE ALL ON FUNCTION make_partitions(integer) FROM PUBLIC",
    "SELECT make_partitions(3)",
)


def upgrade() -> None:
    """Make the tables; the service's role may add entries and read them, nothing else."""
    ddl.create_common(Operations(op.get_context()))
    for statement in _CREATE:
        op.execute(text(statement.replace(":=", "\\:=")))
    role = ddl.role()
    op.execute(text(f"GRANT SELECT, INSERT ON entries, facets TO {role}"))
    op.execute(text(f"GRANT SELECT, UPDATE ON log_state TO {role}"))
    op.execute(text(f"GRANT EXECUTE ON FUNCTION make_partitions(integer) TO {role}"))


def downgrade() -> None:
    """Undo `upgrade`."""
    op.execute(text("DROP TABLE entries, log_state, facets"))
    op.execute(text("DROP FUNCTION make_partitions(integer)"))
    op.execute(text("DROP FUNCTION refuse_change()"))
    ddl.drop_common(Operations(op.get_context()))
