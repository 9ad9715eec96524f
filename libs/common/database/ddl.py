"""The tables that services' schemas have alike: outbox, inbox, dead letters, known senders; and exports, where there are sources.

A service's first revision calls `create_common(op)`; what is made there belongs to the migrating role, and the
service's own role is granted exactly what it does with it.
"""

from typing import Protocol

from alembic import op as default_op
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Executable, text

COMMON_TABLES = ("outbox", "outbox_counter", "inbox", "inbox_seen", "inbox_foreign", "dead_letters", "senders")

# These are queues: few live rows and a constant stream of dead ones. So they are vacuumed by count and not by share,
# without pauses, and keep their pages, because giving them back locks out every writer.
_QUEUE_STORAGE = (
    "autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0,"
    " autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 2000, vacuum_truncate = false"
)

_CREATE = (
    f"""
    CREATE TABLE outbox (
        position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        event_id text NOT NULL,
        exchange text NOT NULL,
        routing_key text NOT NULL,
        stream text NOT NULL,
        type text NOT NULL,
        subject text,
        body bytea NOT NULL,
        correlation_id text,
        reply_to text,
        producer_seq bigint,
        created_at timestamptz NOT NULL DEFAULT now()
    ) WITH ({_QUEUE_STORAGE})
    """,
    "CREATE INDEX outbox_unnumbered ON outbox (position) WHERE producer_seq IS NULL",
    """
    CREATE TABLE outbox_counter (
        stream text PRIMARY KEY,
        last bigint NOT NULL
    ) WITH (fillfactor = 50)
    """,
    """
    CREATE TABLE inbox (
        consumer text NOT NULL,
        producer text NOT NULL,
        watermark bigint NOT NULL DEFAULT 0,
        above bigint NOT NULL DEFAULT 0,
        PRIMARY KEY (consumer, producer)
    ) WITH (fillfactor = 50)
    """,
    f"""
    CREATE TABLE inbox_seen (
        consumer text NOT NULL,
        producer text NOT NULL,
        producer_seq bigint NOT NULL,
        seen_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (consumer, producer, producer_seq)
    ) WITH ({_QUEUE_STORAGE})
    """,
    f"""
    CREATE TABLE inbox_foreign (
        consumer text NOT NULL,
        source text NOT NULL,
        event_id text NOT NULL,
        seen_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (consumer, source, event_id)
    ) WITH ({_QUEUE_STORAGE})
    """,
    "CREATE INDEX inbox_foreign_by_age ON inbox_foreign (seen_at)",
    """
    CREATE TABLE dead_letters (
        id uuid PRIMARY KEY,
        queue text NOT NULL,
        message_id text,
        type text,
        sender text,
        reason text NOT NULL,
        body bytea NOT NULL,
        headers jsonb NOT NULL DEFAULT '{}',
        content_type text,
        received_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    "CREATE INDEX dead_letters_newest ON dead_letters (received_at DESC, id DESC)",
    """
    CREATE TABLE senders (
        client_id text PRIMARY KEY,
        source text NOT NULL,
        event_types text[] NOT NULL,
        registered_at timestamptz NOT NULL DEFAULT now()
    )
    """,
)


_CREATE_EXPORTS = (
    """
    CREATE TABLE exports (
        id uuid PRIMARY KEY,
        source text NOT NULL,
        format text NOT NULL,
        compression text NOT NULL,
        options jsonb NOT NULL,
        filters jsonb NOT NULL,
        owner_id text NOT NULL,
        owner_name text,
        correlation_id text,
        state text NOT NULL DEFAULT 'queued'
            CHECK (state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled', 'expired')),
        position bigint NOT NULL DEFAULT 0,
        ends bigint,
        rows bigint NOT NULL DEFAULT 0,
        bytes bigint NOT NULL DEFAULT 0,
        file text,
        attempts integer NOT NULL DEFAULT 0,
        worker uuid,
        lease_until timestamptz,
        created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        started_at timestamptz,
        finished_at timestamptz,
        expires_at timestamptz,
        error jsonb,
        manifest text,
        signature text
    ) WITH (fillfactor = 50)
    """,
    "CREATE INDEX exports_of_one ON exports (owner_id, id DESC)",
    # Jobs that wait, run or have a file: few, and asked for every second.
    "CREATE INDEX exports_kept ON exports (created_at) WHERE state IN ('queued', 'running', 'succeeded')",
    "CREATE INDEX exports_ended ON exports (finished_at) WHERE state IN ('failed', 'cancelled', 'expired')",
)


class SchemaOperations(Protocol):
    """What is used of `alembic.op`."""

    def execute(self, sqltext: Executable | str) -> None:
        """Run one statement."""
        ...

    def get_context(self) -> MigrationContext:
        """The migration that runs."""
        ...


def role(op: SchemaOperations | None = None) -> str:
    """Inside a revision: the role that the service connects with, quoted by nobody (it is `[a-z0-9_]+`)."""
    context = (op or default_op).get_context()
    name = context.opts["role"]
    assert isinstance(name, str)
    return name


def create_common(op: SchemaOperations) -> None:
    """Make the common tables in the schema that this migration runs in, and grant them to the service's role."""
    for statement in _CREATE:
        op.execute(text(statement))
    op.execute(text(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {', '.join(COMMON_TABLES)} TO {role(op)}"))
    # Readiness asks which revision is in place.
    op.execute(text(f"GRANT SELECT ON alembic_version TO {role(op)}"))


def create_exports(op: SchemaOperations) -> None:
    """Make the table of a service that has sources of exports."""
    for statement in _CREATE_EXPORTS:
        op.execute(text(statement))
    op.execute(text(f"GRANT SELECT, INSERT, UPDATE, DELETE ON exports TO {role(op)}"))


def drop_exports(op: SchemaOperations) -> None:
    """Undo `create_exports`."""
    op.execute(text("DROP TABLE exports"))


def drop_common(op: SchemaOperations) -> None:
    """Undo `create_common`."""
    op.execute(text(f"REVOKE SELECT ON alembic_version FROM {role(op)}"))  # noqa: S608 - a checked name
    op.execute(text(f"DROP TABLE {', '.join(reversed(COMMON_TABLES))}"))
