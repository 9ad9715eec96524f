"""Sessions that know their device and last proof, permission epochs, signing keys, and single tokens taken back."""

from alembic import op
from sqlalchemy import text

from libs.common.database import ddl

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_NOW = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint"
_UPGRADE = (
    # The one large table: a column without a default is added without rewriting it.
    "ALTER TABLE sessions ADD COLUMN proved_at timestamptz, ADD COLUMN device_hash bytea",
    "UPDATE sessions SET proved_at = login_at",
    "ALTER TABLE sessions ALTER COLUMN proved_at SET DEFAULT now(), ALTER COLUMN proved_at SET NOT NULL",
    "ALTER TABLE sessions ADD CHECK (length(device_hash) = 32)",
    "CREATE INDEX sessions_by_user_and_id ON sessions (user_id, id DESC)",
    "CREATE INDEX sessions_live_of_user ON sessions (user_id, id DESC) WHERE is_active",
    "CREATE INDEX sessions_by_device ON sessions (user_id, device_hash)",
    "CREATE INDEX sessions_live_by_expiry ON sessions (expires_at) WHERE is_active",
    "CREATE INDEX sessions_live_by_use ON sessions (last_seen_at) WHERE is_active",
    # Milliseconds, and always larger than before: whoever registers a deleted name again gets another epoch.
    f"ALTER TABLE users ADD COLUMN permission_epoch bigint NOT NULL DEFAULT {_NOW}",
    f"ALTER TABLE clients ADD COLUMN permission_epoch bigint NOT NULL DEFAULT {_NOW}",
    f"""
    CREATE FUNCTION next_permission_epoch() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        NEW.permission_epoch := greatest(OLD.permission_epoch + 1, {_NOW});
        RETURN NEW;
    END $$
    """,
    """
    CREATE TRIGGER users_next_permission_epoch BEFORE UPDATE ON users FOR EACH ROW
    WHEN ((OLD.role, OLD.is_active) IS DISTINCT FROM (NEW.role, NEW.is_active))
    EXECUTE FUNCTION next_permission_epoch()
    """,
    """
    CREATE TRIGGER clients_next_permission_epoch BEFORE UPDATE ON clients FOR EACH ROW
    WHEN ((OLD.scopes, OLD.secret_hash, OLD.source) IS DISTINCT FROM (NEW.scopes, NEW.secret_hash, NEW.source))
    EXECUTE FUNCTION next_permission_epoch()
    """,
    """
    CREATE TABLE revoked_tokens (
        jti text PRIMARY KEY CHECK (length(jti) <= 64),
        client_id text NOT NULL,
        expires_at timestamptz NOT NULL,
        revoked_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    "CREATE INDEX revoked_tokens_by_client ON revoked_tokens (client_id, expires_at)",
    """
    CREATE TABLE signing_keys (
        kid text PRIMARY KEY CHECK (kid ~ '^[A-Za-z0-9_-]{43}$'),
        public_key bytea NOT NULL CHECK (length(public_key) = 32),
        locked_key bytea CHECK (length(locked_key) BETWEEN 60 AND 256),
        created_at timestamptz NOT NULL DEFAULT now(),
        signs_from timestamptz NOT NULL,
        verifies_until timestamptz
    )
    """,
)
_DOWNGRADE = (
    "DROP TABLE signing_keys, revoked_tokens",
    "DROP TRIGGER clients_next_permission_epoch ON clients",
    "DROP TRIGGER users_next_permission_epoch ON users",
    "DROP FUNCTION next_permission_epoch()",
    "ALTER TABLE clients DROP COLUMN permission_epoch",
    "ALTER TABLE users DROP COLUMN permission_epoch",
    "DROP INDEX sessions_live_by_use, sessions_live_by_expiry, sessions_by_device, sessions_live_of_user",
    "DROP INDEX sessions_by_user_and_id",
    "ALTER TABLE sessions DROP COLUMN device_hash, DROP COLUMN proved_at",
)


def upgrade() -> None:
    """Add to what is there, and grant the gateway's role what it does with the new tables."""
    for statement in _UPGRADE:
        op.execute(text(statement))
    # A key is never forgotten: one that came back from a file would sign again.
    op.execute(text(f"GRANT SELECT, INSERT, UPDATE ON signing_keys TO {ddl.role()}"))
    op.execute(text(f"GRANT SELECT, INSERT, UPDATE, DELETE ON revoked_tokens TO {ddl.role()}"))


def downgrade() -> None:
    """Undo `upgrade`: every token is then signed by the key file again."""
    for statement in _DOWNGRADE:
        op.execute(text(statement))
