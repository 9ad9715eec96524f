"""What Alembic runs for every service: one schema, one version table inside it, on the connection that `migrate` gives."""

from alembic import context
from sqlalchemy import Connection

_config = context.config
_connection: Connection = _config.attributes["connection"]

context.configure(
    connection=_connection,
    version_table_schema=_config.attributes["schema"],
    transaction_per_migration=True,
    role=_config.attributes["role"],
)
with context.begin_transaction():
    context.run_migrations()
