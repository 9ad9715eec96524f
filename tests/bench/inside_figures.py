"""What is measured inside one process: the permission check alone, and the ways to read a service behind the gateway."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI, Response

from libs.common.identity import Actor, ActorType, Level
from services.gateway.access.permissions import permissions_of
from services.gateway.upstream.http import HttpCarrier
from services.gateway.upstream.inprocess import InProcessCarrier
from tests.support.processes import free_port

BODY = Path(__file__).read_bytes()[:1200]
TARGET = "/internal/settings"


def permission_figures() -> dict[str, float]:
    """The check of one permission, in microseconds: held by name, held through `*`, and not held."""
    found = {}
    for role, permission in (
        ("admin", "settings:read"),
        ("super_admin", "settings:read"),
        ("moderator", "settings:read"),
    ):
        actor = Actor("1", ActorType.ADMIN, "a@example.com", role, Level.ADMIN, permissions_of(role))
        count = 200_000
        started = time.perf_counter()
        for _ in range(count):
            actor.may(permission)
        found[f"{role}_us"] = round((time.perf_counter() - started) / count * 1e6, 3)
    return found


async def client_figures(*, calls: int = 2000) -> dict[str, float]:
    """One read after the other through each internal client, in microseconds: in-process ASGI, aiohttp, httpx."""
    app = FastAPI()

    @app.get(TARGET)
    async def read() -> Response:
        return Response(BODY, media_type="application/json")

    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="error", access_log=False))
    serving = asyncio.ensure_future(server.serve())
    while not server.started:
        await asyncio.sleep(0.02)
    url = f"http://127.0.0.1:{port}"
    inside, outside = InProcessCarrier({"settings": app}), HttpCarrier({"settings": url})
    async with httpx.AsyncClient(base_url=url) as plain:
        found = {
            "in_process_asgi_us": await _each(lambda: inside.get("settings", TARGET, {}), calls),
            "aiohttp_us": await _each(lambda: outside.get("settings", TARGET, {}), calls),
            "httpx_us": await _each(lambda: plain.get(TARGET), calls // 2),
        }
    await outside.close()
    server.should_exit = True
    await serving
    return found


async def _each(call: Callable[[], Awaitable[Any]], calls: int) -> float:
    for _ in range(50):
        await call()
    started = time.perf_counter()
    for _ in range(calls):
        await call()
    return round((time.perf_counter() - started) / calls * 1e6, 1)
