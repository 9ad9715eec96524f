"""How long entries are kept, legal holds, what was archived, and the one way in which an entry leaves."""

from alembic import op
from sqlalchemy import text

from libs.common.database import ddl

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_DAYS = "integer CHECK ({} BETWEEN 1 AND 36500)"
_CREATE = (
    # What the environment says is kept here as well, since the database itself refuses to remove what is too young.
    f"""
    CREATE TABLE retention (
        is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
        configured_days {_DAYS.format("configured_days")} NOT NULL DEFAULT 365,
        default_days {_DAYS.format("default_days")},
        version bigint NOT NULL DEFAULT 1,
        updated_at timestamptz,
        updated_by text
    )
    """,
    "INSERT INTO retention DEFAULT VALUES",
    f"CREATE TABLE retention_types (event_type text PRIMARY KEY, days {_DAYS.format('days')} NOT NULL)",
    """
    CREATE TABLE legal_holds (
        id uuid PRIMARY KEY,
        name text NOT NULL,
        reason text NOT NULL,
        target_type text,
        target_id text,
        actor_id text,
        event_type text,
        date_from timestamptz,
        date_to timestamptz,
        placed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        placed_by text NOT NULL,
        lifted_at timestamptz,
        lifted_by text,
        lift_reason text,
        CHECK ((lifted_at IS NULL) = (lifted_by IS NULL) AND (lifted_at IS NULL) = (lift_reason IS NULL))
    )
    """,
    "CREATE UNIQUE INDEX legal_holds_name ON legal_holds (name) WHERE lifted_at IS NULL",
    # Archives follow each other from 0 without a gap; each was read back and verified before its row was written.
    """
    CREATE TABLE log_archives (
        first bigint PRIMARY KEY CHECK (first >= 0),
        ends bigint NOT NULL UNIQUE CHECK (ends > first),
        follows bigint REFERENCES log_archives (ends) CHECK ((first = 0) = (follows IS NULL) AND follows IS NOT DISTINCT FROM nullif(first, 0)),
        file text NOT NULL,
        bytes bigint NOT NULL,
        sha256 bytea NOT NULL CHECK (octet_length(sha256) = 32),
        manifest text NOT NULL,
        signature text NOT NULL,
        verified_at timestamptz NOT NULL DEFAULT clock_timestamp()
    )
    """,
    # What the log was told to announce. `sequence` is the announcement's own place, once it has one.
    """
    CREATE TABLE log_prunes (
        id uuid PRIMARY KEY,
        archive_first bigint NOT NULL REFERENCES log_archives (first),
        event_id text NOT NULL,
        first bigint NOT NULL,
        last bigint NOT NULL CHECK (last >= first),
        announced_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        sequence bigint,
        pruned bigint NOT NULL DEFAULT 0,
        done_at timestamptz
    )
    """,
    "CREATE INDEX log_prunes_open ON log_prunes (archive_first) WHERE done_at IS NULL",
    "CREATE INDEX log_prunes_places ON log_prunes (first, last)",
    """
    CREATE TABLE retention_runs (
        id uuid PRIMARY KEY,
        state text NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'running', 'succeeded', 'failed')),
        asked_by text,
        archived bigint NOT NULL DEFAULT 0,
        pruned bigint NOT NULL DEFAULT 0,
        error text,
        created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        finished_at timestamptz
    )
    """,
    "CREATE UNIQUE INDEX retention_runs_open ON retention_runs ((true)) WHERE state IN ('queued', 'running')",
    """
    CREATE FUNCTION keeps(h legal_holds, e entries) RETURNS boolean LANGUAGE sql STABLE
    SET search_path = audit, pg_temp AS $$
        SELECT (h.target_type IS NULL OR h.target_type = e.target_type)
            AND (h.target_id IS NULL OR h.target_id = e.target_id)
            AND (h.actor_id IS NULL OR h.actor_id = e.admin_user_id OR h.actor_id = e.actor_id)
            AND (h.event_type IS NULL OR h.event_type = e.event_type)
            AND (h.date_from IS NULL OR h.date_from <= e.created_at)
            AND (h.date_to IS NULL OR e.created_at < h.date_to)
    $$
    """,
    """
    CREATE FUNCTION is_held(e entries) RETURNS boolean LANGUAGE sql STABLE SET search_path = audit, pg_temp AS $$
        SELECT EXISTS (SELECT FROM legal_holds AS h WHERE h.lifted_at IS NULL AND keeps(h, e) IS TRUE)
    $$
    """,
    """
    CREATE FUNCTION is_past(kind text, recorded timestamptz) RETURNS boolean LANGUAGE sql STABLE
    SET search_path = audit, pg_temp AS $$
        SELECT recorded < now() - make_interval(days => coalesce(
            (SELECT days FROM retention_types WHERE event_type = kind),
            (SELECT coalesce(default_days, configured_days) FROM retention)
        ))
    $$
    """,
    # The rule has one place: whatever removes a row, as whoever, comes by here.
    """
    CREATE FUNCTION may_be_pruned(e entries) RETURNS boolean LANGUAGE sql STABLE SET search_path = audit, pg_temp AS $$
        SELECT is_past(e.event_type, e.recorded_at)
            AND EXISTS (SELECT FROM log_archives WHERE first <= e.sequence AND ends > e.sequence)
            AND NOT is_held(e)
    $$
    """,
    """
    CREATE FUNCTION refuse_early_pruning() RETURNS trigger LANGUAGE plpgsql SET search_path = audit, pg_temp AS $$
    DECLARE
        e entries;
    BEGIN
        SELECT * INTO e FROM entries WHERE sequence = OLD.sequence AND recorded_at = OLD.recorded_at;
        IF NOT may_be_pruned(e) THEN
            RAISE EXCEPTION 'audit entries are append-only until archived, past their days and not held'
                USING ERRCODE = 'insufficient_privilege';
        END IF;
        RETURN OLD;
    END $$
    """,
    "DROP TRIGGER append_only ON entries",
    "CREATE TRIGGER append_only BEFORE UPDATE ON entries FOR EACH ROW EXECUTE FUNCTION refuse_change_but_erasure()",
    "CREATE TRIGGER pruned_by_rule BEFORE DELETE ON entries FOR EACH ROW EXECUTE FUNCTION refuse_early_pruning()",
    # What the announcements at these places name, as a signed head covers them. They are leaves, so nobody changes them.
    """
    CREATE FUNCTION announced_ranges(places bigint[]) RETURNS TABLE (kind text, first bigint, last bigint)
    LANGUAGE plpgsql STABLE SET search_path = audit, pg_temp AS $$
    DECLARE
        place bigint;
        said json;
    BEGIN
        FOREACH place IN ARRAY places LOOP
            SELECT convert_from(body, 'UTF8')::json INTO said FROM log_leaves WHERE sequence = place
                AND EXISTS (SELECT FROM log_checkpoints WHERE size > place);
            IF said IS NULL OR said ->> 'type' <> 'reeve.audit.pruned.v1' OR said ->> 'source' <> '/reeve/audit'
                OR said ->> 'public' IS NULL THEN
                RAISE EXCEPTION 'entry % announces no pruning that a checkpoint covers', place
                    USING ERRCODE = 'insufficient_privilege';
            END IF;
            RETURN QUERY SELECT r.type, r.first, r.last
                FROM json_to_recordset(said -> 'public' -> 'ranges') AS r(type text, first bigint, last bigint);
        END LOOP;
    END $$
    """,
    # The one way in which the service's role removes entries: what an announcement in the log names, as far as the rule
    # allows it at this moment; at most so many rows. Nobody places a hold meanwhile.
    """
    CREATE FUNCTION prune_entries(place bigint, most integer) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = audit, pg_temp AS $$
    DECLARE
        gone bigint := 0;
        here bigint;
        span record;
    BEGIN
        IF most NOT BETWEEN 1 AND 10000 THEN
            RAISE EXCEPTION 'most must be 1..10000';
        END IF;
        LOCK TABLE legal_holds IN SHARE MODE;
        FOR span IN SELECT * FROM announced_ranges(ARRAY[place]) LOOP
            EXIT WHEN gone >= most;
            WITH due AS (
                SELECT e.sequence, e.recorded_at FROM entries AS e
                WHERE e.sequence BETWEEN span.first AND span.last AND (span.kind IS NULL OR e.event_type = span.kind)
                    AND may_be_pruned(e)
                ORDER BY e.sequence LIMIT most - gone
            ), rows AS (
                DELETE FROM entries AS e USING due
                WHERE e.sequence = due.sequence AND e.recorded_at = due.recorded_at RETURNING e.sequence
            ), openings AS (
                DELETE FROM log_openings AS o USING rows WHERE o.sequence = rows.sequence
            )
            SELECT count(*) INTO here FROM rows;
            gone := gone + here;
        END LOOP;
        RETURN gone;
    END $$
    """,
    # A month at once, where every row of it may go. Answers how many went; null where some row has to stay.
    """
    CREATE FUNCTION prune_month(month date, places bigint[]) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = audit, pg_temp SET lock_timeout = '1s' AS $$
    DECLARE
        name text := 'entries_' || to_char(month, 'YYYY_MM');
        since timestamptz := month::timestamp AT TIME ZONE 'UTC';
        until timestamptz := (month + interval '1 month') AT TIME ZONE 'UTC';
        lowest bigint;
        highest bigint;
        gone bigint;
    BEGIN
        IF month <> date_trunc('month', month) OR until > now() OR to_regclass('audit.' || name) IS NULL THEN
            RETURN NULL;
        END IF;
        LOCK TABLE legal_holds IN SHARE MODE;
        SELECT min(sequence), max(sequence), count(*) INTO lowest, highest, gone FROM entries
            WHERE recorded_at >= since AND recorded_at < until;
        IF gone = 0 OR EXISTS (
            SELECT FROM entries AS e WHERE recorded_at >= since AND recorded_at < until AND (
                NOT may_be_pruned(e) OR NOT EXISTS (
                    SELECT FROM announced_ranges(places) AS r
                    WHERE e.sequence BETWEEN r.first AND r.last AND (r.kind IS NULL OR r.kind = e.event_type)
                )
            )
        ) THEN
            RETURN NULL;
        END IF;
        DELETE FROM log_openings AS o USING entries AS e WHERE o.sequence = e.sequence
            AND o.sequence BETWEEN lowest AND highest AND e.recorded_at >= since AND e.recorded_at < until;
        EXECUTE format('DROP TABLE %I', name);
        RETURN gone;
    END $$
    """,
    *(
        f"CREATE TRIGGER {name} BEFORE {verbs} ON {table} FOR EACH {each} EXECUTE FUNCTION refuse_change()"
        for table, verbs, each, name in (
            ("log_archives", "UPDATE OR DELETE", "ROW", "append_only"),
            ("log_archives", "TRUNCATE", "STATEMENT", "no_truncate"),
            ("legal_holds", "DELETE", "ROW", "append_only"),
            ("legal_holds", "TRUNCATE", "STATEMENT", "no_truncate"),
        )
    ),
    "CREATE TRIGGER lifted_once BEFORE UPDATE ON legal_holds FOR EACH ROW WHEN (OLD.lifted_at IS NOT NULL)"
    " EXECUTE FUNCTION refuse_change()",
)
_DEFINERS = ("prune_entries(bigint, integer)", "prune_month(date, bigint[])")


def upgrade() -> None:
    """New tables, and two functions with the owner's rights: the service's role itself still removes no entry."""
    for statement in _CREATE:
        op.execute(text(statement.replace(":=", "\\:=")))
    role = ddl.role()
    op.execute(text(f"GRANT SELECT, UPDATE ON retention TO {role}"))
    op.execute(text(f"GRANT SELECT, INSERT, DELETE ON retention_types TO {role}"))
    op.execute(text(f"GRANT SELECT, INSERT, UPDATE (lifted_at, lifted_by, lift_reason) ON legal_holds TO {role}"))
    op.execute(text(f"GRANT SELECT, INSERT ON log_archives TO {role}"))
    op.execute(text(f"GRANT SELECT, INSERT, UPDATE (sequence, pruned, done_at) ON log_prunes TO {role}"))
    op.execute(text(f"GRANT SELECT, INSERT, UPDATE ON retention_runs TO {role}"))
    op.execute(text(f"GRANT EXECUTE ON FUNCTION is_held(entries), keeps(legal_holds, entries) TO {role}"))
    for function in _DEFINERS:
        op.execute(text(f"REVOKE ALL ON FUNCTION {function} FROM PUBLIC"))
        op.execute(text(f"GRANT EXECUTE ON FUNCTION {function} TO {role}"))


def downgrade() -> None:
    """Undo `upgrade`; what was pruned stays away."""
    op.execute(text("DROP TRIGGER pruned_by_rule ON entries"))
    op.execute(text("DROP TRIGGER append_only ON entries"))
    op.execute(
        text(
            "CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON entries FOR EACH ROW"
            " EXECUTE FUNCTION refuse_change_but_erasure()"
        )
    )
    for function in (
        *_DEFINERS, "announced_ranges(bigint[])", "refuse_early_pruning()", "may_be_pruned(entries)",
        "is_past(text, timestamptz)", "is_held(entries)", "keeps(legal_holds, entries)",
    ):  # fmt: skip
        op.execute(text(f"DROP FUNCTION {function}"))
    op.execute(text("DROP TABLE log_prunes, log_archives, legal_holds, retention_types, retention, retention_runs"))
