"""The verifiable log: leaves and their seeds, the tree's kept subtrees and head, and signed checkpoints."""

from alembic import op
from sqlalchemy import text

from libs.common.database import ddl

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

WRITTEN_ONCE = ("log_leaves", "log_nodes", "log_checkpoints")

_CREATE = (
    """
    CREATE TABLE log_leaves (
        sequence bigint PRIMARY KEY,
        body bytea NOT NULL CHECK (octet_length(body) <= 16384),
        leaf_hash bytea NOT NULL CHECK (octet_length(leaf_hash) = 32)
    )
    """,
    # Apart from the leaves, which never change: what opens a commitment may have to be destroyed.
    """
    CREATE TABLE log_openings (
        sequence bigint PRIMARY KEY,
        seed bytea CHECK (octet_length(seed) = 32),
        salts jsonb
    )
    """,
    """
    CREATE TABLE log_nodes (
        level integer NOT NULL CHECK (level > 0 AND level % 8 = 0),
        idx bigint NOT NULL,
        hash bytea NOT NULL CHECK (octet_length(hash) = 32),
        PRIMARY KEY (level, idx)
    )
    """,
    """
    CREATE TABLE log_head (
        is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
        size bigint NOT NULL,
        root bytea NOT NULL,
        frontier bytea NOT NULL
    )
    """,
    "INSERT INTO log_head (size, root, frontier) VALUES (0, sha256(''), '')",
    "CREATE TRIGGER only_grows BEFORE UPDATE ON log_head FOR EACH ROW WHEN (NEW.size <= OLD.size)"
    " EXECUTE FUNCTION refuse_shrinking()",
    """
    CREATE TABLE log_checkpoints (
        size bigint PRIMARY KEY,
        root bytea NOT NULL CHECK (octet_length(root) = 32),
        note text NOT NULL,
        signed_at timestamptz NOT NULL DEFAULT clock_timestamp()
    )
    """,
    # The minute of the last heartbeat: of several processes one takes each.
    """
    CREATE TABLE log_heartbeat (
        is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
        at timestamptz NOT NULL DEFAULT now()
    )
    """,
    "INSERT INTO log_heartbeat DEFAULT VALUES",
    *(
        f"CREATE TRIGGER {name} BEFORE {verbs} ON {table} FOR EACH {each} EXECUTE FUNCTION refuse_change()"
        for table in WRITTEN_ONCE
        for name, verbs, each in (("append_only", "UPDATE OR DELETE", "ROW"), ("no_truncate", "TRUNCATE", "STATEMENT"))
    ),
)


def upgrade() -> None:
    """Make the tables. The service's role may add what is written once and move the head forward, nothing else.

    Entries that are there already get their leaves from the service, in batches, before it records another one.
    """
    for statement in _CREATE:
        op.execute(text(statement))
    role = ddl.role()
    op.execute(text(f"GRANT SELECT, INSERT ON {', '.join(WRITTEN_ONCE)}, log_openings TO {role}"))
    op.execute(text(f"GRANT SELECT, UPDATE (size, root, frontier) ON log_head TO {role}"))
    op.execute(text(f"GRANT SELECT, UPDATE (at) ON log_heartbeat TO {role}"))


def downgrade() -> None:
    """Undo `upgrade`."""
    op.execute(text("DROP TABLE log_leaves, log_openings, log_nodes, log_head, log_checkpoints, log_heartbeat"))
