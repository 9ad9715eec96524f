"""Notifications that are for one person, and what erasing an account needs."""

from alembic import op
from sqlalchemy import text

from libs.common.database import ddl

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_CREATE = (
    "ALTER TABLE notifications ADD COLUMN recipient_id text",
    "CREATE INDEX notifications_for_one ON notifications (recipient_id, position) WHERE recipient_id IS NOT NULL",
    # By these the notifications about a person are found without a look at all others.
    "CREATE INDEX notifications_about_a_user ON notifications ((metadata->>'user_id')) WHERE metadata ? 'user_id'",
    "CREATE INDEX deliveries_of_a_user ON deliveries (user_id) WHERE state = 'waiting'",
    # Commands and events come by queues of their own: what is asked for before an erasure may come behind it.
    """
    CREATE TABLE erased_users (
        user_id text PRIMARY KEY,
        erased_at timestamptz NOT NULL DEFAULT now()
    )
    """,
)


def upgrade() -> None:
    """A column that is empty for what is for everybody, and one table, which only grows."""
    for statement in _CREATE:
        op.execute(text(statement))
    role = ddl.role()
    op.execute(text(f"GRANT SELECT, INSERT ON erased_users TO {role}"))
    op.execute(text(f"GRANT DELETE ON reads, read_marks TO {role}"))


def downgrade() -> None:
    """What was for one person goes, since everybody would read it."""
    op.execute(text(f"REVOKE DELETE ON reads, read_marks FROM {ddl.role()}"))
    op.execute(text("DROP TABLE erased_users"))
    op.execute(text("DROP INDEX deliveries_of_a_user, notifications_about_a_user, notifications_for_one"))
    op.execute(text("DELETE FROM notifications WHERE recipient_id IS NOT NULL"))
    op.execute(text("ALTER TABLE notifications DROP COLUMN recipient_id"))
