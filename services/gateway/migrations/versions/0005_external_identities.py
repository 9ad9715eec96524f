"""Accounts of other issuers' identities, their sessions, and what works once and was used."""

from alembic import op
from sqlalchemy import text

from libs.common.database import ddl

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_CREATE = (
    """
    CREATE TABLE external_identities (
        issuer text NOT NULL,
        subject text NOT NULL,
        user_id uuid NOT NULL REFERENCES users (id),
        linked_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (issuer, subject)
    )
    """,
    "CREATE INDEX external_identities_by_user ON external_identities (user_id)",
    """
    CREATE TABLE external_sessions (
        session_id uuid PRIMARY KEY REFERENCES sessions (id),
        issuer text NOT NULL,
        subject text NOT NULL,
        sid text
    )
    """,
    "CREATE INDEX external_sessions_by_subject ON external_sessions (issuer, subject)",
    "CREATE INDEX external_sessions_by_sid ON external_sessions (issuer, sid) WHERE sid IS NOT NULL",
    """
    CREATE TABLE spent_tokens (
        digest bytea PRIMARY KEY CHECK (length(digest) = 32),
        expires_at timestamptz NOT NULL
    )
    """,
    "CREATE INDEX spent_tokens_by_expiry ON spent_tokens (expires_at)",
)


def upgrade() -> None:
    """Who is linked to which account is written once and never changed; what was spent is forgotten when it expires."""
    for statement in _CREATE:
        op.execute(text(statement))
    role = ddl.role()
    op.execute(text(f"GRANT SELECT, INSERT ON external_identities, external_sessions TO {role}"))
    op.execute(text(f"GRANT SELECT, INSERT, UPDATE, DELETE ON spent_tokens TO {role}"))


def downgrade() -> None:
    """Undo `upgrade`: those who came by another issuer sign in by password from then on."""
    op.execute(text("DROP TABLE spent_tokens, external_sessions, external_identities"))
