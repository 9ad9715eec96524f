"""Witnesses for tests: the real one behind a real port, in a thread of its own."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from libs.common.web.serve import run_services
from services.audit.log.cosignatures import WitnessKey
from services.audit.witness import app
from services.audit.witness.config import Config
from tests.support.processes import free_port


@dataclass
class Running:
    """Where it listens, its key, and its folder."""

    url: str
    key: WitnessKey
    folder: Path


@asynccontextmanager
async def witness(folder: Path, *logs: str, name: str = "witness.test/w1") -> AsyncIterator[Running]:
    """The witness that listens, in a thread of its own, until the block ends; `logs` are the verifier keys that it was told."""
    config = Config(witness_name=name, witness_dir=folder, witness_logs=logs)
    port, ready = free_port(), threading.Event()
    loops: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def live() -> None:
        service, stop = app.start(config), asyncio.Event()
        loops.append((asyncio.get_running_loop(), stop))
        await run_services([service], listen={service.name: ("127.0.0.1", port)}, on_ready=ready.set, stop=stop)

    thread = threading.Thread(target=lambda: asyncio.run(live()), name=name, daemon=True)
    thread.start()
    assert await asyncio.to_thread(ready.wait, 20), "the witness did not start"
    try:
        yield Running(f"http://127.0.0.1:{port}", app.verifier_key(config), folder)
    finally:
        for loop, stop in loops:
            loop.call_soon_threadsafe(stop.set)
        await asyncio.to_thread(thread.join, 20)
