"""What did not fit its schema, told apart from other dead letters and kept until it is replayed; and gaps that were told."""

from alembic import op
from sqlalchemy import text

from libs.common.database import ddl

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_CREATE = (
    """
    ALTER TABLE dead_letters
        ADD COLUMN is_misfit boolean GENERATED ALWAYS AS (
            queue = 'audit.events' AND (reason LIKE 'unknown_event_type:%' OR reason LIKE 'invalid_event:%')
        ) STORED,
        ADD COLUMN producer text NOT NULL DEFAULT '',
        ADD COLUMN source text,
        ADD COLUMN event_type text,
        ADD COLUMN last_seen_at timestamptz NOT NULL DEFAULT now(),
        ADD COLUMN sightings integer NOT NULL DEFAULT 1,
        ADD COLUMN replays integer NOT NULL DEFAULT 0,
        ADD COLUMN last_reason text,
        ADD COLUMN replayed_at timestamptz,
        ADD COLUMN entry_sequence bigint
    """,
    "UPDATE dead_letters SET event_type = type, last_seen_at = received_at WHERE is_misfit",
    "CREATE INDEX dead_letters_misfits ON dead_letters (id DESC) WHERE is_misfit",
    "CREATE INDEX dead_letters_waiting ON dead_letters (received_at) WHERE is_misfit AND replayed_at IS NULL",
    "CREATE INDEX dead_letters_misfit_messages ON dead_letters (message_id) WHERE is_misfit",
    """
    CREATE TABLE gaps (
        id uuid PRIMARY KEY,
        producer text NOT NULL,
        first bigint NOT NULL,
        last bigint NOT NULL,
        since timestamptz NOT NULL,
        told_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        closed_at timestamptz,
        how text CHECK (how IN ('filled', 'given_up')),
        CHECK (first <= last)
    )
    """,
    "CREATE UNIQUE INDEX gaps_open ON gaps (producer, first) WHERE closed_at IS NULL",
)


def upgrade() -> None:
    """Columns of a table that is small, and a new one."""
    for statement in _CREATE:
        op.execute(text(statement.replace(":", "\\:")))
    op.execute(text(f"GRANT SELECT, INSERT, UPDATE, DELETE ON gaps TO {ddl.role()}"))


def downgrade() -> None:
    """Undo `upgrade`; letters stay as dead letters."""
    op.execute(text("DROP TABLE gaps"))
    op.execute(
        text(
            "ALTER TABLE dead_letters DROP COLUMN is_misfit, DROP COLUMN producer, DROP COLUMN source, DROP COLUMN event_type,"
            " DROP COLUMN last_seen_at, DROP COLUMN sightings, DROP COLUMN replays, DROP COLUMN last_reason,"
            " DROP COLUMN replayed_at, DROP COLUMN entry_sequence"
        )
    )
