"""Letting go of the reasons that a person gave, once their data was erased."""

from alembic import op
from sqlalchemy import text

from libs.common.database import ddl

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_CREATE = (
    "CREATE INDEX setting_history_with_reason ON setting_history (changed_by) WHERE reason IS NOT NULL",
    # The service may not change history. It may ask for this, which takes words away and can put none in their place.
    """
    CREATE FUNCTION erase_reasons(admin text) RETURNS integer LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = settings, pg_temp SET lock_timeout = '1s' AS $$
    DECLARE
        done integer;
    BEGIN
        UPDATE setting_history SET reason = NULL WHERE changed_by = admin AND reason IS NOT NULL;
        GET DIAGNOSTICS done = ROW_COUNT;
        RETURN done;
    END $$
    """,
    "REVOKE ALL ON FUNCTION erase_reasons(text) FROM PUBLIC",
)


def upgrade() -> None:
    """An index and a function with the owner's rights; no table may be written that could not be before."""
    for statement in _CREATE:
        op.execute(text(statement.replace(":", "\\:")))
    op.execute(text(f"GRANT EXECUTE ON FUNCTION erase_reasons(text) TO {ddl.role()}"))


def downgrade() -> None:
    """Undo `upgrade`; what was erased stays erased."""
    op.execute(text("DROP FUNCTION erase_reasons(text)"))
    op.execute(text("DROP INDEX setting_history_with_reason"))
