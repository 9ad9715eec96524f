"""The services as processes of their own, to be started, asked, killed and started again."""

import asyncio
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from time import monotonic
from typing import Protocol

import httpx

ROOT = Path(__file__).parents[2]
FIRST_PORT, LAST_PORT = 20_000, 32_000
"""Below the ports that outgoing connections get, so that nobody takes the port of a process between two lives."""
MOST_WORKERS = 8
START_SECONDS = 40.0
STOP_SECONDS = 15.0
SERVICES = ("gateway", "audit", "settings", "notifications")


class Life(Protocol):
    """One run of a program."""

    @property
    def pid(self) -> int: ...

    def code(self) -> int | None:
        """The exit code once it has ended, negative for a signal."""


class Launcher(Protocol):
    """Starts `python -m <module> <arguments>` in an environment, its output appended to a file."""

    async def launch(
        self, module: str, arguments: Sequence[str], *, environment: Mapping[str, str], log: Path
    ) -> Life: ...


@dataclass(frozen=True, slots=True)
class _Child:
    process: subprocess.Popen[bytes]

    @property
    def pid(self) -> int:
        return self.process.pid

    def code(self) -> int | None:
        return self.process.poll()


class Command:
    """The command line, as an operator types it."""

    async def launch(self, module: str, arguments: Sequence[str], *, environment: Mapping[str, str], log: Path) -> Life:
        with log.open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments], cwd=ROOT, env=dict(environment),
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip
        return _Child(process)


@dataclass(slots=True)
class Program:
    """A program with a port that answers `/readyz`; it may live more than once."""

    name: str
    module: str
    arguments: Sequence[str]
    environment: Mapping[str, str]
    port: int
    log: Path
    launcher: Launcher
    _life: Life | None = None

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Its process, while it lives."""
        assert self._life is not None, f"{self.name} does not run"
        return self._life.pid

    @property
    def code(self) -> int | None:
        """The exit code of its last life, None while it lives."""
        assert self._life is not None, f"{self.name} was never started"
        return self._life.code()

    async def launch(self, **extra: str) -> None:
        """Start it with more environment, without waiting."""
        assert self._life is None or self._life.code() is not None, f"{self.name} runs already"
        self._life = await self.launcher.launch(
            self.module, self.arguments, environment={**self.environment, **extra}, log=self.log
        )

    async def start(self, **extra: str) -> None:
        """Start it and return when it is ready."""
        await self.launch(**extra)
        await self.until_ready()

    async def until_ready(self) -> None:
        """Return when `/readyz` says 200."""
        deadline = monotonic() + START_SECONDS
        # Plain HTTP: to load the authorities of TLS would take 20 ms.
        async with httpx.AsyncClient(base_url=self.url, timeout=5, verify=False) as http:
            while not await _is_ready(http):
                assert self.code is None, f"{self.name} ended with {self.code}:\n{self.last_words()}"
                assert monotonic() < deadline, f"{self.name} is not ready:\n{self.last_words()}"
                await asyncio.sleep(0.02)

    async def until_dead(self, *, within_seconds: float) -> int:
        """The exit code, once it has ended; fails when it still lives."""
        deadline = monotonic() + within_seconds
        while (code := self.code) is None:
            assert monotonic() < deadline, f"{self.name} still lives after {within_seconds} s"
            await asyncio.sleep(0.01)
        return code

    async def kill(self) -> None:
        """SIGKILL, if it lives."""
        if self._life is not None and self._life.code() is None:
            os.kill(self._life.pid, signal.SIGKILL)
            await self.until_dead(within_seconds=STOP_SECONDS)

    async def stop(self, with_signal: signal.Signals = signal.SIGTERM) -> int:
        """An orderly end; its exit code."""
        os.kill(self.pid, with_signal)
        return await self.until_dead(within_seconds=STOP_SECONDS)

    def last_words(self, most: int = 3000) -> str:
        """The end of what it wrote."""
        return self.log.read_text(errors="replace")[-most:] if self.log.exists() else ""


@dataclass(slots=True)
class Platform:
    """Several programs that make one platform."""

    gateway: Program
    programs: Mapping[str, Program]
    email: str
    password: str
    namespace: str
    amqp_url: str
    folder: Path
    admin_database: str
    """The database, as an administrator reaches it: for observers outside the system."""
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """The public address."""
        return self.gateway.url

    async def start(self) -> None:
        """Start everything at once; return when all are ready."""
        await asyncio.gather(*(program.start() for program in self.programs.values()))

    async def revive(self) -> None:
        """Start whatever does not live."""
        await asyncio.gather(*(one.start() for one in self.programs.values() if one.code is not None))

    async def end(self) -> None:
        """End everything, by force."""
        await asyncio.gather(*(program.kill() for program in self.programs.values()))


def _ports() -> Iterator[int]:
    """The ports of this test process: none comes again before all others did, and other workers have others. Between being
    found free and being taken a port can be given to nobody else."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % MOST_WORKERS
    own = range(FIRST_PORT + worker, LAST_PORT, MOST_WORKERS)
    start = random.randrange(len(own))
    return cycle((*own[start:], *own[:start]))


_PORTS = _ports()


def free_port() -> int:
    """A port of 127.0.0.1 that is free now."""
    while True:
        port = next(_PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def clean_environment() -> dict[str, str]:
    """This process's environment without any configuration of the platform."""
    return {name: value for name, value in os.environ.items() if not name.startswith("REEVE_")}


async def _is_ready(http: httpx.AsyncClient) -> bool:
    try:
        return (await http.get("/readyz")).status_code == 200
    except httpx.TransportError:
        return False
