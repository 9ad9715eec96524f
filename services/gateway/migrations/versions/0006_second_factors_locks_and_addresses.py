"""Second factors with recovery codes, what failed sign-ins are counted under, rules about addresses."""

from alembic import op
from sqlalchemy import text

from libs.common.database import ddl

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_CREATE = (
    """
    CREATE TABLE totp_factors (
        user_id uuid PRIMARY KEY REFERENCES users (id),
        locked_secret bytea NOT NULL,
        last_step bigint,
        created_at timestamptz NOT NULL DEFAULT now(),
        confirmed_at timestamptz
    )
    """,
    """
    CREATE TABLE recovery_codes (
        user_id uuid NOT NULL REFERENCES users (id),
        code_hash bytea NOT NULL CHECK (length(code_hash) = 32),
        PRIMARY KEY (user_id, code_hash)
    )
    """,
    """
    CREATE TABLE sign_in_failures (
        key bytea PRIMARY KEY CHECK (length(key) = 32),
        failures integer NOT NULL,
        last_at timestamptz NOT NULL DEFAULT now(),
        locked_until timestamptz
    )
    """,
    """
    CREATE TABLE ip_rules (
        is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
        version integer NOT NULL DEFAULT 1,
        allow cidr[] NOT NULL DEFAULT '{}',
        deny cidr[] NOT NULL DEFAULT '{}'
    )
    """,
    "INSERT INTO ip_rules DEFAULT VALUES",
    "CREATE INDEX sign_in_failures_by_age ON sign_in_failures (last_at)",
)


def upgrade() -> None:
    """Four tables of the gateway's own."""
    for statement in _CREATE:
        op.execute(statement)
    role = ddl.role()
    op.execute(text(f"GRANT SELECT, INSERT, UPDATE, DELETE ON totp_factors, sign_in_failures TO {role}"))
    op.execute(text(f"GRANT SELECT, INSERT, DELETE ON recovery_codes TO {role}"))
    op.execute(text(f"GRANT SELECT, UPDATE ON ip_rules TO {role}"))


def downgrade() -> None:
    """Whoever enrolled a second factor signs in without it again."""
    op.execute("DROP TABLE ip_rules, sign_in_failures, recovery_codes, totp_factors")
