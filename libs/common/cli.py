"""The command line of a service: `python -m services.<name> serve|migrate|check|dead-letters`.

How a command ends is said by its exit code (`libs.common.command`).
"""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial

import typer

from libs.common import logs
from libs.common.command import ConfigT, run_command
from libs.common.dead_letters_cli import dead_letters_cli
from libs.common.web.health import run_checks
from libs.common.web.serve import close, run_services
from libs.common.web.service import Service

log = logs.get(__name__)


def service_cli(
    name: str,
    *,
    load: Callable[[], ConfigT],
    start: Callable[[ConfigT], Awaitable[Service]],
    migrate: Callable[[ConfigT], Awaitable[None]],
    also: Mapping[str, Callable[[ConfigT], Awaitable[Service]]] | None = None,
) -> typer.Typer:
    """The command line of one service: `load` reads the environment, `start` composes the service from it.

    `also` are further programs of the service by command, each served like the first.
    """
    cli = typer.Typer(name=name, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

    @cli.command("serve")
    def serve() -> None:
        """Serve until SIGTERM or SIGINT."""
        run_command(name, load, partial(_served, start))

    for command, begin in (also or {}).items():
        run = partial(run_command, f"{name}-{command}", load, partial(_served, begin))
        cli.command(command, help=f"Run the {command} until SIGTERM or SIGINT.")(lambda run=run: run())

    @cli.command("migrate")
    def apply_migrations() -> None:
        """Bring this service's schema up to date."""
        run_command(name, load, migrate)

    @cli.command("check")
    def check() -> None:
        """Compose the service and ask its readiness checks once, without serving."""

        async def run(config: ConfigT) -> None:
            service = await start(config)
            try:
                found = await run_checks(service.app.state.checks)
            finally:
                await close(service)
            for one, state in found.items():
                typer.echo(f"{one}: {state}")
            if any(state != "ok" for state in found.values()):
                raise typer.Exit(1)

        run_command(name, load, run)

    def with_service(act: Callable[[Service], Awaitable[None]]) -> None:
        async def run(config: ConfigT) -> None:
            service = await start(config)
            try:
                await act(service)
            finally:
                await close(service)

        run_command(name, load, run)

    cli.add_typer(dead_letters_cli(with_service), name="dead-letters")
    return cli


async def _served(start: Callable[[ConfigT], Awaitable[Service]], config: ConfigT) -> None:
    service = await start(config)
    await run_services(
        [service],
        listen={service.name: (config.host, config.port)},
        metrics_address=(config.metrics_host, config.metrics_port),
        on_ready=lambda: log.info("serving", host=config.host, port=config.port),
    )
