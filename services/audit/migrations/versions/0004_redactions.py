"""Erasing a subject's personal data: jobs, what an entry says of it, and the one way through the append-only triggers."""

from alembic import op
from sqlalchemy import text

from libs.common.database import ddl

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_CREATE = (
    # What was erased of an entry, by which redaction, when and why: an array that only grows.
    "ALTER TABLE entries ADD COLUMN redactions jsonb",
    """
    CREATE TABLE redactions (
        id uuid PRIMARY KEY,
        subject_type text NOT NULL,
        subject_id text NOT NULL,
        reason text NOT NULL,
        requested_by text,
        operation_id text,
        correlation_id text,
        state text NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'running', 'held', 'succeeded')),
        position bigint NOT NULL DEFAULT 0,
        ends bigint NOT NULL,
        planned jsonb,
        announced text[] NOT NULL DEFAULT '{}',
        entries bigint NOT NULL DEFAULT 0,
        exports integer NOT NULL DEFAULT 0,
        held_by text[] NOT NULL DEFAULT '{}',
        next_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        finished_at timestamptz
    ) WITH (fillfactor = 50)
    """,
    "CREATE UNIQUE INDEX redactions_live ON redactions (subject_type, subject_id) WHERE state <> 'succeeded'",
    "CREATE INDEX redactions_next ON redactions (next_at) WHERE state <> 'succeeded'",
    # An entry may lose private members, and words that they gave, to a redaction that runs and signs for it; nothing else.
    """
    CREATE FUNCTION refuse_change_but_erasure() RETURNS trigger LANGUAGE plpgsql
    SET search_path = audit, pg_temp AS $$
    DECLARE
        was record;
    BEGIN
        IF TG_OP = 'UPDATE' THEN
            was := OLD;
            was.admin_username := NEW.admin_username;
            was.ip_address := NEW.ip_address;
            was.user_agent := NEW.user_agent;
            was.details := NEW.details;
            was.changes := NEW.changes;
            was.words := NEW.words;
            was.redactions := NEW.redactions;
            IF was *= NEW
                AND (NEW.admin_username IS NULL OR NEW.admin_username = OLD.admin_username) IS TRUE
                AND (NEW.ip_address IS NULL OR NEW.ip_address = OLD.ip_address) IS TRUE
                AND (NEW.user_agent IS NULL OR NEW.user_agent = OLD.user_agent) IS TRUE
                AND (NEW.changes IS NULL OR NEW.changes::text = OLD.changes::text) IS TRUE
                AND NEW.details::text IN ('{}', OLD.details::text)
                AND tsvector_to_array(NEW.words) <@ tsvector_to_array(OLD.words)
                AND (NEW.redactions - -1) = coalesce(OLD.redactions, '[]')
                AND EXISTS (
                    SELECT FROM redactions AS running
                    WHERE running.id::text = NEW.redactions -> -1 ->> 'id' AND running.state = 'running'
                )
            THEN
                RETURN NEW;
            END IF;
        END IF;
        RAISE EXCEPTION 'audit entries are append-only' USING ERRCODE = 'insufficient_privilege';
    END $$
    """,
    "DROP TRIGGER append_only ON entries",
    "CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON entries FOR EACH ROW"
    " EXECUTE FUNCTION refuse_change_but_erasure()",
    # The service may not change an entry. It may ask for this, which destroys what the log has announced to be destroyed:
    # values, words, and what opens their commitments; the salts of other members stay, apart from the seed.
    """
    CREATE FUNCTION erase_members(redaction uuid, erasures jsonb) RETURNS integer LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = audit, pg_temp SET lock_timeout = '1s' AS $$
    DECLARE
        job redactions;
        done integer;
    BEGIN
        SELECT * INTO job FROM redactions WHERE id = redaction AND state = 'running' FOR UPDATE;
        IF NOT FOUND OR jsonb_array_length(erasures) > 1000 THEN
            RAISE EXCEPTION 'no such redaction runs, or it is asked to erase over 1,000 entries at once';
        END IF;
        IF EXISTS (
            SELECT one.sequence, path
            FROM jsonb_to_recordset(erasures) AS one (sequence bigint, paths text[]), unnest(one.paths) AS path
            EXCEPT
            SELECT place, path FROM entries AS said,
                json_array_elements_text(said.details -> 'paths') AS path,
                json_array_elements(said.details -> 'entries') AS span,
                generate_series(
                    coalesce(CASE json_typeof(span) WHEN 'array' THEN span ->> 0 END, span #>> '{}')::bigint,
                    coalesce(CASE json_typeof(span) WHEN 'array' THEN span ->> 1 END, span #>> '{}')::bigint
                ) AS place
            WHERE said.target_type = 'redaction' AND said.target_id = redaction::text
                AND said.event_type = 'reeve.audit.redacted.v1' AND said.producer = 'audit'
                AND said.event_id = ANY(job.announced)
        ) THEN
            RAISE EXCEPTION 'the log has not announced all of this' USING ERRCODE = 'insufficient_privilege';
        END IF;
        UPDATE log_openings AS opening
        SET seed = NULL,
            salts = (CASE WHEN opening.seed IS NULL THEN opening.salts ELSE one.salts END) - one.paths
        FROM jsonb_to_recordset(erasures) AS one (sequence bigint, paths text[], salts jsonb)
        WHERE opening.sequence = one.sequence;
        UPDATE entries AS entry
        SET admin_username = CASE WHEN '/admin_username' = ANY(one.paths) THEN NULL ELSE entry.admin_username END,
            ip_address = CASE WHEN '/ip_address' = ANY(one.paths) THEN NULL ELSE entry.ip_address END,
            user_agent = CASE WHEN '/user_agent' = ANY(one.paths) THEN NULL ELSE entry.user_agent END,
            details = CASE WHEN '/details' = ANY(one.paths) THEN '{}'::json ELSE entry.details END,
            changes = CASE WHEN '/changes' = ANY(one.paths) THEN NULL ELSE entry.changes END,
            words = array_to_tsvector(ARRAY(
                SELECT unnest(one.words) INTERSECT SELECT unnest(tsvector_to_array(entry.words))
            )),
            redactions = coalesce(entry.redactions, '[]') || jsonb_build_object(
                'id', job.id, 'operation_id', job.operation_id, 'reason', job.reason,
                'at', to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
                'members', (SELECT jsonb_agg(substr(path, 2) ORDER BY path) FROM unnest(one.paths) AS path)
            )
        FROM jsonb_to_recordset(erasures) AS one (sequence bigint, paths text[], words text[])
        WHERE entry.sequence = one.sequence;
        GET DIAGNOSTICS done = ROW_COUNT;
        RETURN done;
    END $$
    """,
    "REVOKE ALL ON FUNCTION erase_members(uuid, jsonb) FROM PUBLIC",
)


def upgrade() -> None:
    """A nullable column, a table of jobs, and functions with the owner's rights."""
    for statement in _CREATE:
        op.execute(text(statement.replace(":", "\\:")))
    role = ddl.role()
    op.execute(text(f"GRANT SELECT, INSERT, UPDATE ON redactions TO {role}"))
    op.execute(text(f"GRANT UPDATE (owner_name) ON saved_searches TO {role}"))
    op.execute(text(f"GRANT EXECUTE ON FUNCTION erase_members(uuid, jsonb) TO {role}"))


def downgrade() -> None:
    """Undo `upgrade`; what was erased stays erased."""
    op.execute(text("DROP TRIGGER append_only ON entries"))
    op.execute(
        text(
            "CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON entries FOR EACH ROW EXECUTE FUNCTION refuse_change()"
        )
    )
    op.execute(text("DROP FUNCTION erase_members(uuid, jsonb)"))
    op.execute(text("DROP FUNCTION refuse_change_but_erasure()"))
    op.execute(text("DROP TABLE redactions"))
    op.execute(text("ALTER TABLE entries DROP COLUMN redactions"))
    op.execute(text(f"REVOKE UPDATE (owner_name) ON saved_searches FROM {ddl.role()}"))
