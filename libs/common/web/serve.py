"""Runs services: a server for each application that listens, and all background tasks, until told to stop.

The order at the end: streams are ended, nothing new is accepted, requests in flight may finish (10
seconds), tasks are cancelled, services close. A task that dies stops everything, and `run_services` raises.
"""

import asyncio
import logging
import os
import signal
import socket
import threading
from collections.abc import Awaitable, Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager

import uvicorn

from libs.common import collector, logs, metrics
from libs.common.errors import ConfigError
from libs.common.web.errors import was_cut_short
from libs.common.web.protocol import BoundedProtocol
from libs.common.web.service import Service
from libs.common.web.under_way import under_way

GRACE_SECONDS = 10
STOP_SECONDS = 30.0
"""How long the whole way down may take before the process leaves by force."""
AGAIN_SECONDS = 7.0
"""How long a task that was cancelled may take: longer than one that still writes what waits (group commit, 5 s)."""
KEEP_ALIVE_SECONDS = 75
_SIGNALS = (signal.SIGTERM, signal.SIGINT)
log = logs.get(__name__)


class TaskDied(Exception):
    """A background task ended by an error that it could not answer; the process cannot go on."""


async def run_services(
    services: Sequence[Service],
    *,
    listen: Mapping[str, tuple[str, int]],
    metrics_address: tuple[str, int] | None = None,
    on_ready: Callable[[], None] | None = None,
    stop: asyncio.Event | None = None,
    protocol: type[BoundedProtocol] = BoundedProtocol,
) -> None:
    """Run until SIGTERM, SIGINT or `stop`. `listen` gives host and port by service name; a service that is
    not in it runs without a port. Raises `ConfigError` for a taken port and `TaskDied` when a task dies.
    """
    stop = stop or asyncio.Event()
    died: list[str] = []
    async with AsyncExitStack() as closing:
        last_resort = _last_resort(asyncio.get_running_loop())
        # Called last, so that it watches the closing of services too.
        closing.callback(last_resort.cancel)
        for service in services:
            closing.push_async_callback(close, service)
        servers = [
            (
                _server(service, *listen[service.name], protocol=protocol),
                closing.enter_context(_bound(*listen[service.name])),
            )
            for service in services
            if service.name in listen
        ]
        if metrics_address is not None:
            closing.callback(metrics.serve_metrics(*metrics_address))
        closing.enter_context(_stopped_by_signals(stop))
        for service in services:
            await closing.enter_async_context(service.app.router.lifespan_context(service.app))
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(_watched(service.name, task, died, stop), name=f"{service.name}: {_name(task)}")
                for service in services
                for task in service.tasks
            ]
            serving = [group.create_task(server.serve(sockets=[listener])) for server, listener in servers]
            for server, _ in servers:
                await server.ready.wait()
            collector.tune()
            if on_ready is not None and not stop.is_set():
                on_ready()
            await stop.wait()
            last_resort.start()
            await _stop_serving(services, [server for server, _ in servers], serving)
            await _ended(tasks)
    if died:
        raise TaskDied(f"ended by an error: {', '.join(died)}")


class _Server(uvicorn.Server):
    """A server that leaves signals to `run_services` and says when it is up."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self.ready.set()

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


def _server(service: Service, host: str, port: int, *, protocol: type[BoundedProtocol]) -> _Server:
    noise = logging.getLogger("uvicorn.error")
    noise.setLevel(logging.ERROR)
    noise.addFilter(_is_news)
    config = uvicorn.Config(
        service.app,
        host=host,
        port=port,
        http=protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        # Whose X-Forwarded-For to believe is the gateway's decision, by REEVE_TRUSTED_PROXIES.
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    return _Server(config)


def _is_news(record: logging.LogRecord) -> bool:
    """Whether the edge has not logged it already."""
    return not (record.exc_info and record.exc_info[1] is not None and was_cut_short(record.exc_info[1]))


@contextmanager
def _bound(host: str, port: int) -> Iterator[socket.socket]:
    """A listening socket, so that a taken port is known before anything starts."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sends without delay only on sockets that say that they are TCP.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
            listener.listen(2048)
        except OSError as error:
            raise ConfigError(f"REEVE_PORT: cannot listen on {host}:{port} ({error.strerror or error})") from error
        yield listener
    finally:
        listener.close()


@contextmanager
def _stopped_by_signals(stop: asyncio.Event) -> Iterator[None]:
    """SIGTERM and SIGINT set `stop`; a second one ends the process there and then.

    So does the end of the terminal, once or twice, unless whoever started us had it ignored (nohup).
    """
    loop = asyncio.get_running_loop()

    def on_signal(number: int) -> None:
        if stop.is_set() and number != signal.SIGHUP:
            os._exit(128 + number)
        stop.set()

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    ends_with_terminal = signal.getsignal(signal.SIGHUP) is signal.SIG_DFL
    heeded = (*_SIGNALS, signal.SIGHUP) if ends_with_terminal else _SIGNALS
    for number in heeded:
        loop.add_signal_handler(number, on_signal, number)
    try:
        yield
    finally:
        for number in heeded:
            loop.remove_signal_handler(number)


def _last_resort(loop: asyncio.AbstractEventLoop) -> threading.Timer:
    """Once started: whatever hangs on the way down, the process ends, and says what it waited for."""

    def give_up() -> None:
        log.error("the end hangs; leaving", seconds=STOP_SECONDS, waiting=under_way(loop))
        os._exit(1)

    timer = threading.Timer(STOP_SECONDS, give_up)
    timer.daemon = True
    return timer


async def _watched(service: str, task: Callable[[], Awaitable[None]], died: list[str], stop: asyncio.Event) -> None:
    """Run a task; when it dies, stop everything in order rather than pull the floor from under requests."""
    try:
        await task()
    except Exception as error:
        metrics.TASK_FAILURES.labels(service, _name(task)).inc()
        log.error("background task died", of=service, task=_name(task), exc_info=error)
        died.append(f"{service} {_name(task)}")
        stop.set()


async def _stop_serving(
    services: Sequence[Service], servers: Sequence[_Server], serving: Sequence[asyncio.Task[None]]
) -> None:
    for service in services:
        service.app.state.streams.end_all()
    for server in servers:
        server.should_exit = True
    if serving:
        await asyncio.wait(serving)


async def _ended(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Cancel, until all have ended: a cancellation is lost where an error comes at the same moment (a task group's in 3.11)."""
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=AGAIN_SECONDS)
        if left:
            log.warning("tasks do not end; asking again", waiting=under_way(asyncio.get_running_loop()))


async def close(service: Service) -> None:
    """Close what the service opened, its database last."""
    await service.close()
    if service.database is not None:
        await service.database.close()


def _name(task: Callable[[], Awaitable[None]]) -> str:
    return getattr(task, "__qualname__", type(task).__name__)
