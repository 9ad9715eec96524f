"""`python -m services.gateway serve|migrate|check|dead-letters|rotate-keys|clear-ip-rules`."""

from functools import partial
from typing import Annotated

import typer

from libs.common.cli import service_cli
from libs.common.command import run_command
from libs.common.start import migrate_schema
from services.gateway import app
from services.gateway.config import Config

cli = service_cli(app.NAME, load=Config.load, start=app.start, migrate=partial(migrate_schema, name=app.NAME))


@cli.command("rotate-keys")
def rotate_keys(
    revoke: Annotated[
        bool, typer.Option("--revoke", help="Sign with it at once, and believe no token of an older key any more.")
    ] = False,
) -> None:
    """Make a new key for access tokens. Every running gateway learns of it; nobody is signed out."""

    async def run(config: Config) -> None:
        typer.echo(await app.rotate_keys(config, revokes=revoke))

    run_command(app.NAME, Config.load, run)


@cli.command("clear-ip-rules")
def clear_ip_rules() -> None:
    """Let every address call again, where rules have shut out all administrators."""
    run_command(app.NAME, Config.load, app.clear_ip_rules)


if __name__ == "__main__":
    cli()
