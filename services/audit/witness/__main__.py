"""`python -m services.audit.witness serve|show-key`."""

import typer

from libs.common import logs
from libs.common.command import run_command
from libs.common.web.serve import run_services
from services.audit.witness import app
from services.audit.witness.config import Config

cli = typer.Typer(no_args_is_help=True, add_completion=False, help="A witness of audit logs (C2SP tlog-witness).")
log = logs.get("witness")


@cli.command("serve")
def serve() -> None:
    """Cosign until SIGTERM or SIGINT."""

    async def run(config: Config) -> None:
        service = app.start(config)
        await run_services(
            [service],
            listen={service.name: (config.host, config.port)},
            metrics_address=(config.metrics_host, config.metrics_port),
            on_ready=lambda: log.info("serving", host=config.host, port=config.port, key=app.verifier_key(config).text),
        )

    run_command(app.NAME, Config.load, run)


@cli.command("show-key")
def show_key() -> None:
    """Print the verifier key, which the log's operator needs and every auditor; made where there is none."""

    async def run(config: Config) -> None:
        typer.echo(app.verifier_key(config).text)

    run_command(app.NAME, Config.load, run)


if __name__ == "__main__":
    cli()
