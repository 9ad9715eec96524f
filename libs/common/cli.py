"""The command line of a service: `python -m services.<name> serve|migrate|check|dead-letters`.

A wrong environment is one line and exit code 2, anything else that ends the process by itself is 1.
"""

import asyncio
import resource
import sys
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from functools import partial
from typing import Any, Protocol, TypeVar

import typer
import uvloop

from libs.common import logs, telemetry
from libs.common.dead_letters_cli import dead_letters_cli
from libs.common.errors import ConfigError
from libs.common.web.health import run_checks
from libs.common.web.serve import TaskDied, close, run_services
from libs.common.web.service import Service

MOST_OPEN_FILES = 65536
log = logs.get(__name__)


class Runnable(Protocol):
    """What the command line reads of a service's configuration."""

    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...
    @property
    def metrics_host(self) -> str: ...
    @property
    def metrics_port(self) -> int: ...
    @property
    def log_level(self) -> str: ...
    @property
    def otlp_endpoint(self) -> str | None: ...
    @property
    def trace_sample(self) -> float: ...


ConfigT = TypeVar("ConfigT", bound=Runnable)


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


def run_command(name: str, load: Callable[[], ConfigT], run: Callable[[ConfigT], Awaitable[None]]) -> None:
    """Read the environment and do one thing with it, as a command of the service `name`."""

    async def main() -> None:
        config = load()
        logs.configure(name, config.log_level)
        telemetry.configure(name, endpoint=config.otlp_endpoint, sample=config.trace_sample)
        await run(config)

    code = run_process(main)
    if code:
        raise typer.Exit(code)


def run_process(main: Callable[[], Coroutine[Any, Any, None]]) -> int:
    """Run `main` on uvloop and give the exit code. For the process that a command is."""
    _allow_many_files()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(main())
    except KeyboardInterrupt:
        return 130
    except typer.Exit as leaving:
        return leaving.exit_code
    except TaskDied:
        return 1
    except Exception as error:
        return _reported(error)
    finally:
        telemetry.shutdown()
    return 0


def _reported(error: BaseException) -> int:
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    if isinstance(error, ConfigError):
        print(f"reeve: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    log.error("ended by an error", exc_info=error)
    return 1


def _allow_many_files() -> None:
    """Every stream of live updates is an open file; the usual soft limit of 1,024 is no limit we want."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
