"""A command of a service as a process: the environment read, one thing done on uvloop, and an exit code that says how it ended.

A wrong environment is one line and exit code 2, anything else that ends the process by itself is 1.
"""

import asyncio
import resource
import sys
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol, TypeVar

import typer
import uvloop

from libs.common import logs, telemetry
from libs.common.errors import ConfigError
from libs.common.web.serve import TaskDied

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
