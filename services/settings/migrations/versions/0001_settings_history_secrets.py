"""Settings, their history and their secrets."""

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
    CREATE TABLE settings (
        key text COLLATE "C" PRIMARY KEY CHECK (key ~ '^[a-z][a-z0-9_.-]{0,254}$'),
        value json CHECK (octet_length(value::text) <= 20000),
        default_value json CHECK (octet_length(default_value::text) <= 20000),
        value_type text NOT NULL
            CHECK (value_type IN ('string', 'integer', 'number', 'boolean', 'json', 'string_list', 'secret')),
        category text NOT NULL CHECK (length(category) BETWEEN 1 AND 100),
        config_type text NOT NULL CHECK (config_type IN ('setting', 'feature_flag', 'threshold', 'integration')),
        description text NOT NULL CHECK (length(description) <= 2000),
        json_schema json CHECK (octet_length(json_schema::text) <= 20000),
        is_public boolean NOT NULL,
        is_encrypted boolean NOT NULL,
        is_sensitive boolean NOT NULL,
        allow_override boolean NOT NULL,
        requires_approval boolean NOT NULL,
        secret_version integer,
        secret_hint text CHECK (length(secret_hint) <= 7),
        version integer NOT NULL CHECK (version > 0),
        updated_at timestamptz NOT NULL,
        updated_by text,
        created_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT public_is_not_hidden CHECK (NOT (is_public AND (is_encrypted OR is_sensitive))),
        CONSTRAINT secrets_are_encrypted CHECK (is_encrypted OR value_type <> 'secret'),
        CONSTRAINT encrypted_has_no_value CHECK (NOT is_encrypted OR (value IS NULL AND default_value IS NULL)),
        CONSTRAINT plain_has_a_value CHECK (is_encrypted OR (value IS NOT NULL AND secret_version IS NULL)),
        CONSTRAINT hint_has_a_secret CHECK (secret_version IS NOT NULL OR secret_hint IS NULL)
    ) WITH (fillfactor = 50)
    """,
    "CREATE INDEX settings_public ON settings (key) WHERE is_public",
    """
    CREATE TABLE setting_history (
        key text COLLATE "C" NOT NULL,
        version integer NOT NULL,
        step text NOT NULL CHECK (step IN ('created', 'changed', 'defined', 'rolled_back', 'deleted')),
        value json,
        is_encrypted boolean NOT NULL,
        secret_version integer,
        secret_hint text,
        changed_by text,
        changed_at timestamptz NOT NULL,
        reason text,
        operation_id uuid,
        PRIMARY KEY (key, version),
        CONSTRAINT encrypted_has_no_value CHECK (NOT is_encrypted OR value IS NULL)
    )
    """,
    """
    CREATE TABLE setting_secrets (
        key text COLLATE "C" NOT NULL,
        scope text NOT NULL,
        version integer NOT NULL,
        dek_id uuid NOT NULL UNIQUE,
        kek_id text NOT NULL,
        algorithm text NOT NULL,
        wrap_nonce bytea NOT NULL CHECK (octet_length(wrap_nonce) = 12),
        wrapped_dek bytea NOT NULL CHECK (octet_length(wrapped_dek) = 48),
        nonce bytea NOT NULL CHECK (octet_length(nonce) = 12),
        ciphertext bytea NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (key, scope, version)
    )
    """,
    "CREATE INDEX setting_secrets_by_kek ON setting_secrets (kek_id)",
)


def upgrade() -> None:
    """Make the tables, and grant the service's role what it does with each: history is append-only."""
    ddl.create_common(Operations(op.get_context()))
    for statement in _CREATE:
        op.execute(text(statement))
    role = ddl.role()
    op.execute(text(f"GRANT SELECT, INSERT, UPDATE, DELETE ON settings TO {role}"))
    op.execute(text(f"GRANT SELECT, INSERT ON setting_history TO {role}"))
    op.execute(text(f"GRANT SELECT, INSERT, DELETE ON setting_secrets TO {role}"))


def downgrade() -> None:
    """Undo `upgrade`."""
    op.execute(text("DROP TABLE setting_secrets, setting_history, settings"))
    ddl.drop_common(Operations(op.get_context()))
