"""What people are to be told of their own accounts, and what erasing an account needs."""

from alembic import op
from sqlalchemy import text

from libs.common.database import ddl

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_CREATE = (
    # A notice waits without a letter; one that was told is counted for an hour, without its details.
    """
    CREATE TABLE notices (
        id uuid PRIMARY KEY,
        user_id uuid NOT NULL REFERENCES users (id),
        kind text NOT NULL CHECK (kind IN ('new_device', 'password_changed', 'password_reset', 'factor_enrolled',
                                           'factor_removed', 'recovery_code_used', 'sessions_ended')),
        details jsonb NOT NULL DEFAULT '{}',
        letter_id uuid,
        created_at timestamptz NOT NULL DEFAULT now(),
        told_at timestamptz,
        CHECK ((letter_id IS NULL) = (told_at IS NULL)),
        CHECK (told_at IS NULL OR details = '{}')
    )
    """,
    "CREATE INDEX notices_waiting ON notices (user_id, id) WHERE told_at IS NULL",
    "CREATE INDEX notices_told ON notices (user_id, told_at) WHERE told_at IS NOT NULL",
    # Accounts whose data was erased before this revision: what was not erased of them then goes now. The subject of an
    # identity is replaced when the account's owner is met again, which needs a key that is not here.
    """
    DELETE FROM external_sessions USING sessions, users
    WHERE sessions.id = external_sessions.session_id AND users.id = sessions.user_id AND users.erased_at IS NOT NULL
    """,
    """
    UPDATE sessions SET device_hash = NULL FROM users
    WHERE users.id = sessions.user_id AND users.erased_at IS NOT NULL AND sessions.device_hash IS NOT NULL
    """,
)


def upgrade() -> None:
    """One table; and of identities and their sessions the gateway's role may now let go."""
    for statement in _CREATE:
        op.execute(text(statement))
    role = ddl.role()
    op.execute(text(f"GRANT SELECT, INSERT, UPDATE, DELETE ON notices TO {role}"))
    # What an identity is linked to stays as it is; only what it is called by may go.
    op.execute(text(f"GRANT UPDATE (subject) ON external_identities TO {role}"))
    op.execute(text(f"GRANT DELETE ON external_sessions TO {role}"))


def downgrade() -> None:
    """Nobody is told of what happens to their account; what was erased stays erased."""
    role = ddl.role()
    op.execute(text(f"REVOKE DELETE ON external_sessions FROM {role}"))
    op.execute(text(f"REVOKE UPDATE (subject) ON external_identities FROM {role}"))
    op.execute(text("DROP TABLE notices"))
