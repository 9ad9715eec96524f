"""The whole platform: `python -m services run` in one process, `python -m services prepare` for containers."""

import typer

from libs.common.cli import run_process
from services import single
from services.preparation import prepare_for_containers

cli = typer.Typer(name="reeve", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@cli.command("run")
def run() -> None:
    """Run gateway, audit, settings and notifications here, on an embedded Postgres unless one is named."""
    raise typer.Exit(run_process(single.run))


@cli.command("prepare")
def prepare() -> None:
    """Make roles, schemas and keys, and migrate, once before the services start."""
    raise typer.Exit(run_process(prepare_for_containers))


if __name__ == "__main__":
    cli()
