"""`python -m services.notifications serve|migrate|check|dead-letters`."""

from functools import partial

from libs.common.cli import service_cli
from libs.common.start import migrate_schema
from services.notifications import app
from services.notifications.config import Config

cli = service_cli(app.NAME, load=Config.load, start=app.start, migrate=partial(migrate_schema, name=app.NAME))

if __name__ == "__main__":
    cli()
