"""Sinks: where entries stream to, how far each has come, and who sends for it now."""

from alembic import op
from sqlalchemy import text

from libs.common.database import ddl

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


_IS_HELD = """
    CREATE OR REPLACE FUNCTION is_held(e entries) RETURNS boolean LANGUAGE sql STABLE SET search_path = audit, pg_temp AS $$
        SELECT EXISTS (SELECT FROM legal_holds AS h WHERE h.lifted_at IS NULL AND keeps(h, e) IS TRUE) {more}
    $$
"""
_UNSENT = "OR EXISTS (SELECT FROM sinks WHERE is_enabled AND cursor <= e.sequence)"


def upgrade() -> None:
    """One new table, which the service's role may write; what a sink has yet to send is not pruned."""
    op.execute(
        text(
            """
            CREATE TABLE sinks (
                id uuid PRIMARY KEY,
                name text NOT NULL UNIQUE,
                target jsonb NOT NULL,
                format text NOT NULL,
                filters jsonb NOT NULL,
                secret bytea,
                is_enabled boolean NOT NULL,
                version integer NOT NULL DEFAULT 1,
                created_by text NOT NULL,
                created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
                updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
                cursor bigint NOT NULL,
                batch_ends bigint,
                sent bigint NOT NULL DEFAULT 0,
                failures integer NOT NULL DEFAULT 0,
                failing_since timestamptz,
                is_reported boolean NOT NULL DEFAULT false,
                next_try_at timestamptz,
                last_error text,
                last_error_at timestamptz,
                last_synced_at timestamptz,
                asked_test uuid,
                ended_test uuid,
                test_error text,
                tested_at timestamptz,
                holder uuid,
                held_until timestamptz,
                CHECK (batch_ends > cursor)
            )
            """
        )
    )
    op.execute(text(f"GRANT SELECT, INSERT, UPDATE, DELETE ON sinks TO {ddl.role()}"))
    op.execute(text(_IS_HELD.format(more=_UNSENT)))


def downgrade() -> None:
    """Undo `upgrade`."""
    op.execute(text(_IS_HELD.format(more="")))
    op.execute(text("DROP TABLE sinks"))
