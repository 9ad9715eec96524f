"""`python -m services.settings serve|migrate|check|dead-letters`."""

from libs.common.cli import service_cli
from services.settings import app
from services.settings.config import Config

cli = service_cli(app.NAME, load=Config.load, start=app.start, migrate=app.apply_migrations)

if __name__ == "__main__":
    cli()
