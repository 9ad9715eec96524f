"""`python -m services.audit serve|signer|migrate|check|dead-letters`."""

from functools import partial

from libs.common.cli import service_cli
from libs.common.start import migrate_schema
from services.audit import app
from services.audit.config import Config

cli = service_cli(
    app.NAME,
    load=Config.load,
    start=app.start,
    migrate=partial(migrate_schema, name=app.NAME),
    also={"signer": app.start_signer},
)

if __name__ == "__main__":
    cli()
