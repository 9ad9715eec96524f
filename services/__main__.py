"""The whole platform: `python -m services run` in one process (`rotate-keys` and `dead-letters` there), `prepare` for containers."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated

import typer

from libs.common.command import run_process
from libs.common.dead_letters_cli import dead_letters_cli
from libs.common.delivery.senders import SERVICES
from libs.common.web.service import Service
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


@cli.command("rotate-keys")
def rotate_keys(
    revoke: Annotated[
        bool, typer.Option("--revoke", help="Sign with it at once, and believe no token of an older key any more.")
    ] = False,
) -> None:
    """Make a new key for access tokens, while the platform does not run here; nobody is signed out."""
    raise typer.Exit(run_process(partial(single.rotate_keys, revokes=revoke)))


dead_letters = typer.Typer(
    no_args_is_help=True, help="What a service could not apply, while the platform does not run here."
)
cli.add_typer(dead_letters, name="dead-letters")


def _with(name: str, act: Callable[[Service], Awaitable[None]]) -> None:
    raise typer.Exit(run_process(partial(single.act_with, name, act)))


for service in SERVICES:
    dead_letters.add_typer(dead_letters_cli(partial(_with, service)), name=service)


if __name__ == "__main__":
    cli()
