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
        recorded_at timestamptz NOT NULL DEFAULT statement_timestamp(),
        id uuid NOT NULL,
        event_id text NOT NULL,
        event_type text NOT NULL,
        action text NOT NULL,
        target_type text,
        target_id text,
        admin_user_id text,
        admin_username text,
        actor_type text NOT NULL,
        actor_id text,
        outcome text NOT NULL CHECK (outcome IN ('success', 'denied', 'failure')),
        severity text NOT NULL CHECK (severity IN ('info', 'warning', 'error', 'critical')),
        details json NOT NULL,
        changes json,
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
        words tsvector NOT NULL,
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
    # The pending list keeps the index off the way in; every search reads all of it, so it must not grow long.
    "CREATE INDEX entries_words ON entries USING gin (words) WITH (gin_pending_list_limit = 1024)",
    "CREATE TABLE log_state (is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only), size bigint NOT NULL)",
    "INSERT INTO log_state (size) VALUES (0)",
    """
    CREATE FUNCTION refuse_shrinking() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'the audit log never shrinks' USING ERRCODE = 'insufficient_privilege';
    END $$
    """,
    "CREATE TRIGGER only_grows BEFORE UPDATE ON log_state FOR EACH ROW WHEN (NEW.size < OLD.size)"
    " EXECUTE FUNCTION refuse_shrinking()",
    """
    CREATE TABLE facets (
        kind text NOT NULL CHECK (kind IN ('action', 'target_type')),
        value text NOT NULL,
        first_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (kind, value)
    )
    """,
    # Rows are counted up again and again: room on their pages keeps the index out of it.
    """
    CREATE TABLE tallies (
        day date NOT NULL,
        action text NOT NULL,
        outcome text NOT NULL,
        target_type text NOT NULL,
        admin_user_id text NOT NULL,
        count bigint NOT NULL,
        PRIMARY KEY (day, action, outcome, target_type, admin_user_id)
    ) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.1, autovacuum_vacuum_threshold = 2000)
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
    SET search_path = audit, pg_temp SET lock_timeout = '1s' AS $$
    DECLARE
        made integer := 0;
        first date;
        since timestamptz;
        until timestamptz;
        name text;
    BEGIN
        IF months NOT BETWEEN 0 AND 24 THEN
            RAISE EXCEPTION 'months must be 0..24';
        END IF;
        PERFORM pg_advisory_xact_lock(hashtextextended('reeve.audit.partitions', 0));
        FOR ahead IN 0..months LOOP
            first := (date_trunc('month', now() AT TIME ZONE 'UTC') + make_interval(months => ahead))::date;
            name := 'entries_' || to_char(first, 'YYYY_MM');
            since := first::timestamp AT TIME ZONE 'UTC';
            until := (first + interval '1 month') AT TIME ZONE 'UTC';
            -- What the default partition holds already stays there, and that month gets no partition of its own.
            CONTINUE WHEN to_regclass('audit.' || name) IS NOT NULL
                OR EXISTS (SELECT FROM entries_default WHERE recorded_at >= since AND recorded_at < until);
            EXECUTE format('CREATE TABLE %I PARTITION OF entries FOR VALUES FROM (%L) TO (%L)', name, since, until);
            EXECUTE format(
                'CREATE TRIGGER no_truncate BEFORE TRUNCATE ON %I FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()', name
            );
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
    op.execute(text(f"GRANT SELECT, INSERT, UPDATE (count) ON tallies TO {role}"))
    op.execute(text(f"GRANT SELECT, UPDATE (size) ON log_state TO {role}"))
    op.execute(text(f"GRANT EXECUTE ON FUNCTION make_partitions(integer) TO {role}"))


def downgrade() -> None:
    """Undo `upgrade`."""
    op.execute(text("DROP TABLE entries, log_state, facets, tallies"))
    op.execute(text("DROP FUNCTION make_partitions(integer)"))
    op.execute(text("DROP FUNCTION refuse_change()"))
    op.execute(text("DROP FUNCTION refuse_shrinking()"))
    ddl.drop_common(Operations(op.get_context()))
