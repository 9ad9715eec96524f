"""A process that has imported every service and forks one at each request: the same program, started in no time.

A fault run starts services hundreds of times, and most of a start is importing. `Stem` is the launcher
for tests; `python -m tests.support.stem` is its process.
"""

import asyncio
import gc
import importlib
import json
import os
import select
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.processes import ROOT, SERVICES, Life, clean_environment


@dataclass(slots=True)
class _Forked:
    pid: int
    ended: dict[int, int]

    def code(self) -> int | None:
        return self.ended.get(self.pid)


@dataclass(slots=True)
class Stem:
    """Starts services by forking. Use `growing()`."""

    process: asyncio.subprocess.Process
    ended: dict[int, int] = field(default_factory=dict)
    _asked: asyncio.Lock = field(default_factory=asyncio.Lock)
    _born: "asyncio.Queue[int]" = field(default_factory=asyncio.Queue)

    async def launch(self, module: str, arguments: Sequence[str], *, environment: Mapping[str, str], log: Path) -> Life:
        order = {"module": module, "arguments": list(arguments), "environment": dict(environment), "log": str(log)}
        async with self._asked:
            assert self.process.stdin is not None
            self.process.stdin.write(json.dumps(order).encode() + b"\n")
            async with asyncio.timeout(30):
                return _Forked(await self._born.get(), self.ended)

    async def run(self, module: str, *arguments: object, crash_at: str = "") -> int:
        """Call `cli` of a module of the tests in a process of its own, for at most a minute; the exit code."""
        with tempfile.NamedTemporaryFile(prefix="reeve-test-") as log:
            environment = {**os.environ, "REEVE_CRASH_AT": crash_at}
            life = await self.launch(module, [*map(str, arguments)], environment=environment, log=Path(log.name))
            async with asyncio.timeout(60):
                while (code := life.code()) is None:
                    await asyncio.sleep(0.01)
            sys.stderr.write(Path(log.name).read_text(errors="replace"))
        return code

    async def read(self) -> None:
        """Take in what the process says, until it ends."""
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            told = json.loads(line)
            if "code" in told:
                self.ended[told["pid"]] = told["code"]
            else:
                # A long run gives numbers of processes a second time.
                self.ended.pop(told["pid"], None)
                self._born.put_nowait(told["pid"])


@asynccontextmanager
async def growing() -> AsyncIterator[Stem]:
    """A stem for as long as the block lasts. What it forked must have ended before."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.support.stem", cwd=ROOT, env=clean_environment(),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=2**20,
    )  # fmt: skip
    stem = Stem(process)
    reading = asyncio.create_task(stem.read())
    try:
        yield stem
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()
        await reading


def main() -> None:
    """Fork at each line that comes in; tell of each birth and each end; leave when nobody asks any more."""
    for name in SERVICES:
        importlib.import_module(f"services.{name}.__main__")
    for module in ("services.__main__", "tests.faults.planted"):
        importlib.import_module(module)
    # What is here now is shared with every fork for as long as nobody writes to it, and the collector would.
    gc.collect()
    gc.freeze()
    while True:
        ready, _, _ = select.select([0], [], [], 0.02)
        if ready:
            line = _line()
            if not line:
                return
            _fork(json.loads(line))
        _tell_ends()


def _line() -> bytes:
    """One line, read byte by byte as none but select may know what is waiting."""
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(0, 1)
        if not byte:
            return b""
        line += byte
    return line


def _fork(order: dict[str, object]) -> None:
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            code = _live(order)
        finally:
            os._exit(code)
    _say(pid=pid)


def _live(order: dict[str, object]) -> int:
    """Become the service: its environment, its output, its command line."""
    os.setsid()
    log = os.open(str(order["log"]), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    environment = order["environment"]
    assert isinstance(environment, dict)
    os.environ.clear()
    os.environ.update(environment)
    # It reads the environment when it is imported, and has been imported in another one.
    importlib.reload(importlib.import_module("libs.common.crashpoint"))
    name = str(order["module"])
    module = importlib.import_module(name if name.startswith("tests.") else f"{name}.__main__")
    try:
        module.cli(order["arguments"])
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else 1
    return 0


def _tell_ends() -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        _say(pid=pid, code=os.waitstatus_to_exitcode(status))


def _say(**told: int) -> None:
    os.write(1, json.dumps(told).encode() + b"\n")


if __name__ == "__main__":
    main()
