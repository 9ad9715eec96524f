"""Accounts, sessions, clients, operations and idempotency keys."""

from alembic import op
from sqlalchemy import text

from libs.common.database import ddl

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_CREATE = (
    """
    CREATE TABLE users (
        id uuid PRIMARY KEY,
        email text NOT NULL UNIQUE CHECK (email = lower(email) AND length(email) <= 254),
        name text NOT NULL,
        role text NOT NULL,
        is_active boolean NOT NULL DEFAULT true,
        password_hash text,
        version integer NOT NULL DEFAULT 1,
        created_by text,
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now(),
        last_login_at timestamptz
    )
    """,
    "CREATE INDEX users_super_admins ON users (id) WHERE role = 'super_admin' AND is_active",
    """
    CREATE TABLE sessions (
        id uuid PRIMARY KEY,
        user_id uuid NOT NULL REFERENCES users (id),
        ip_address text,
        user_agent text,
        is_active boolean NOT NULL DEFAULT true,
        end_reason text,
        login_at timestamptz NOT NULL DEFAULT now(),
        last_seen_at timestamptz NOT NULL DEFAULT now(),
        expires_at timestamptz NOT NULL,
        logout_at timestamptz
    )
    """,
    "CREATE INDEX sessions_by_user ON sessions (user_id, login_at DESC)",
    """
    CREATE TABLE refresh_tokens (
        token_hash bytea PRIMARY KEY CHECK (length(token_hash) = 32),
        session_id uuid NOT NULL REFERENCES sessions (id),
        created_at timestamptz NOT NULL DEFAULT now(),
        expires_at timestamptz NOT NULL,
        used_at timestamptz
    )
    """,
    "CREATE INDEX refresh_tokens_by_expiry ON refresh_tokens (expires_at)",
    """
    CREATE TABLE clients (
        id uuid PRIMARY KEY,
        client_id text NOT NULL UNIQUE,
        name text NOT NULL,
        secret_hash text NOT NULL,
        source text NOT NULL,
        scopes text[] NOT NULL DEFAULT '{}',
        event_types text[] NOT NULL DEFAULT '{}',
        created_by text,
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    """
    CREATE TABLE operations (
        id uuid PRIMARY KEY,
        admin_id text NOT NULL,
        action text NOT NULL,
        subject text,
        state text NOT NULL DEFAULT 'accepted' CHECK (state IN ('accepted', 'completed', 'rejected')),
        status integer,
        result jsonb,
        error jsonb,
        created_at timestamptz NOT NULL DEFAULT now(),
        completed_at timestamptz,
        correlation_id text
    )
    """,
    "CREATE INDEX operations_by_age ON operations (created_at)",
    """
    CREATE TABLE idempotency_keys (
        caller text NOT NULL,
        key text NOT NULL,
        request_hash bytea NOT NULL,
        status integer,
        headers jsonb,
        body bytea,
        created_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (caller, key)
    )
    """,
    "CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at)",
)


def upgrade() -> None:
    """Make the gateway's tables, and grant its role what it does with each."""
    ddl.create_common(op)
    for statement in _CREATE:
        op.execute(text(statement))
    role = ddl.role()
    op.execute(text(f"GRANT SELECT, INSERT, UPDATE ON users, sessions TO {role}"))
    op.execute(
        text(f"GRANT SELECT, INSERT, UPDATE, DELETE ON refresh_tokens, clients, operations, idempotency_keys TO {role}")
    )


def downgrade() -> None:
    """Undo `upgrade`."""
    op.execute(text("DROP TABLE idempotency_keys, operations, clients, refresh_tokens, sessions, users"))
    ddl.drop_common(op)
