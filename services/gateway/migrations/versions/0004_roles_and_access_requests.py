"""Custom roles, permissions asked for and granted for a time, and accounts whose personal data was erased."""

from alembic import op
from sqlalchemy import text

from libs.common.database import ddl

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_CREATE = (
    """
    CREATE TABLE roles (
        name text PRIMARY KEY CHECK (name ~ '^[a-z][a-z0-9_]{0,63}$'
                                     AND name NOT IN ('super_admin', 'admin', 'moderator', 'viewer')),
        level text NOT NULL CHECK (level IN ('none', 'read', 'write', 'admin')),
        description text NOT NULL DEFAULT '' CHECK (length(description) <= 500),
        permissions text[] NOT NULL CHECK (cardinality(permissions) <= 200 AND NOT '*' = ANY (permissions)),
        version integer NOT NULL DEFAULT 1,
        created_by text,
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    "CREATE INDEX users_by_role ON users (role)",
    "ALTER TABLE users ADD COLUMN erased_at timestamptz",
    """
    CREATE TABLE access_requests (
        id uuid PRIMARY KEY,
        user_id uuid NOT NULL REFERENCES users (id),
        permission text NOT NULL,
        reason text NOT NULL CHECK (length(reason) <= 500),
        state text NOT NULL DEFAULT 'pending'
            CHECK (state IN ('pending', 'approved', 'rejected', 'withdrawn', 'ended')),
        until timestamptz,
        decided_by text,
        decided_at timestamptz,
        decision_reason text CHECK (length(decision_reason) <= 500),
        ended_at timestamptz,
        end_reason text,
        created_at timestamptz NOT NULL DEFAULT now(),
        CHECK (state IN ('pending', 'withdrawn') OR decided_at IS NOT NULL),
        CHECK (state <> 'approved' OR until IS NOT NULL)
    )
    """,
    "CREATE UNIQUE INDEX access_requests_pending ON access_requests (user_id, permission) WHERE state = 'pending'",
    "CREATE INDEX access_requests_live ON access_requests (user_id, until) WHERE state = 'approved'",
    "CREATE INDEX access_requests_ending ON access_requests (until) WHERE state = 'approved'",
    "CREATE INDEX access_requests_by_user ON access_requests (user_id, id DESC)",
    # What a role gives, and what is held for a time, are rights like the role itself: the epoch moves with them.
    """
    CREATE FUNCTION next_epoch_of_holders() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        UPDATE users SET permission_epoch = greatest(permission_epoch + 1, (extract(epoch FROM clock_timestamp()) * 1000)::bigint)
        WHERE role = OLD.name;
        RETURN NULL;
    END $$
    """,
    """
    CREATE TRIGGER roles_next_permission_epoch AFTER UPDATE ON roles FOR EACH ROW
    WHEN ((OLD.level, OLD.permissions) IS DISTINCT FROM (NEW.level, NEW.permissions))
    EXECUTE FUNCTION next_epoch_of_holders()
    """,
    """
    CREATE FUNCTION next_epoch_of_borrower() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        UPDATE users SET permission_epoch = greatest(permission_epoch + 1, (extract(epoch FROM clock_timestamp()) * 1000)::bigint)
        WHERE id = NEW.user_id;
        RETURN NULL;
    END $$
    """,
    """
    CREATE TRIGGER access_requests_next_permission_epoch AFTER UPDATE ON access_requests FOR EACH ROW
    WHEN (OLD.state <> NEW.state AND (OLD.state = 'approved' OR NEW.state = 'approved'))
    EXECUTE FUNCTION next_epoch_of_borrower()
    """,
)


def upgrade() -> None:
    """Make the tables, and grant the service what it does with each: requests are history and never deleted."""
    for statement in _CREATE:
        op.execute(text(statement))
    role = ddl.role()
    op.execute(text(f"GRANT SELECT, INSERT, UPDATE, DELETE ON roles TO {role}"))
    op.execute(text(f"GRANT SELECT, INSERT, UPDATE ON access_requests TO {role}"))


def downgrade() -> None:
    """Undo `upgrade`. Who held a custom role then holds one that gives nothing."""
    op.execute(text("DROP TABLE access_requests, roles"))
    op.execute(text("DROP FUNCTION next_epoch_of_borrower()"))
    op.execute(text("DROP FUNCTION next_epoch_of_holders()"))
    op.execute(text("ALTER TABLE users DROP COLUMN erased_at"))
    op.execute(text("DROP INDEX users_by_role"))
