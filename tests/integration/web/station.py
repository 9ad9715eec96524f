"""A service of the smallest kind, run as a process of its own: `python -m tests.integration.web.station serve`.

Its environment chooses what goes wrong: a task that dies, a task that does not end, a check that fails.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request, Response

from libs.common.cli import service_cli
from libs.common.config import HttpSettings, ObservabilitySettings
from libs.common.web import serve
from libs.common.web.app import create_app
from libs.common.web.health import Check
from libs.common.web.service import Service
from libs.common.web.sse import Stream, event_stream, frame


class Config(HttpSettings, ObservabilitySettings):
    """The environment of the station."""


def build() -> Service:
    """Compose it."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        print("lifespan begins", flush=True)
        yield
        print("lifespan ends", flush=True)

    app = create_app(service="station", title="Station", version="1", checks={"mood": _mood()}, lifespan=lifespan)

    @asynccontextmanager
    async def subscribe(stream: Stream) -> AsyncIterator[None]:
        stream.send(frame("hello", {}))
        yield

    @app.get("/stream")
    async def stream(request: Request) -> Response:
        return event_stream(request, subscribe)

    @app.get("/slow")
    async def slow(seconds: float) -> dict[str, bool]:
        await asyncio.sleep(seconds)
        return {"finished": True}

    if os.environ.get("STATION_CLOSE") == "hangs":
        serve.STOP_SECONDS = 1.0

    async def close() -> None:
        if os.environ.get("STATION_CLOSE") == "hangs":
            await asyncio.Event().wait()
        print("closed", flush=True)

    return Service("station", app, tasks=(_task,), close=close)


def _mood() -> Check:
    async def check() -> None:
        if os.environ.get("STATION_MOOD") == "bad":
            raise RuntimeError("hunter2")

    return check


async def _task() -> None:
    try:
        if os.environ.get("STATION_TASK") == "mishears":
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
        if os.environ.get("STATION_TASK") == "dies":
            await asyncio.sleep(0.3)
            raise RuntimeError("the relay cannot go on")
        await asyncio.Event().wait()
    finally:
        print("task ends", flush=True)


async def start(_config: Config) -> Service:
    """Compose it from the environment."""
    return build()


async def migrate(_config: Config) -> None:
    """Say that it was asked to."""
    print("migrated", flush=True)


cli = service_cli("station", load=Config.load, start=start, migrate=migrate)

if __name__ == "__main__":
    cli()
