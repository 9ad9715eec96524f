"""`python -m services.gateway serve|migrate|check|clear-ip-rules`."""

from functools import partial

from libs.common.cli import add_command, service_cli
from libs.common.start import migrate_schema
from services.gateway import app
from services.gateway.config import Config

cli = service_cli(app.NAME, load=Config.load, start=app.start, migrate=partial(migrate_schema, name=app.NAME))
add_command(
    cli,
    "clear-ip-rules",
    app.clear_ip_rules,
    load=Config.load,
    help="Let every address call again, where rules have shut out all administrators.",
)

if __name__ == "__main__":
    cli()
