"""The gateway over HTTP: authenticated reads and settings writes, beside a bare FastAPI route in the same run."""

import asyncio
import json
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import orjson

from tests.bench.load import request_bytes
from tests.bench.platform_process import RunningPlatform
from tests.support.processes import free_port

READ = "/api/v1/admin/settings"
CONNECTIONS = (1, 16, 64)
KEYS = 64
ROOT = Path(__file__).resolve().parents[2]

BARE = """
import sys, uvicorn
from fastapi import FastAPI, Response
body = open(sys.argv[2], "rb").read()
app = FastAPI()
@app.get("/api/v1/admin/settings")
async def bare() -> Response:
    return Response(body, media_type="application/json")
uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), loop="uvloop", http="httptools", access_log=False, log_level="error")
"""


async def shoot(url: str, requests: Sequence[bytes], **job: Any) -> dict[str, Any]:
    """Run the load generator as a process of its own; its figures."""
    job = {"url": url, "requests": [one.hex() for one in requests], "mode": "closed", "expect": [200], **job}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.bench.load",
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate(json.dumps(job).encode())
    figures: dict[str, Any] = json.loads(out)
    if figures["failed"]:
        raise RuntimeError(f"{figures['failed']} requests failed, the first with {figures['first_failure']}")
    return figures


async def read_figures(platform: RunningPlatform, *, seconds: float) -> dict[str, Any]:
    """Authenticated reads against a bare FastAPI route that answers the same bytes, at 1, 16 and 64 connections."""
    async with httpx.AsyncClient(base_url=platform.url) as http:
        body = (await http.get(READ, headers=platform.headers)).content
    ours = [request_bytes("GET", READ, headers=platform.headers)]
    bare = [request_bytes("GET", READ, headers=platform.headers)]
    found: dict[str, Any] = {"answer_bytes": len(body)}
    async with bare_server(body) as url:
        for connections in CONNECTIONS:
            reference = await shoot(url, bare, connections=connections, seconds=seconds / 2)
            measured = await shoot(platform.url, ours, connections=connections, seconds=seconds)
            found[str(connections)] = {
                "reeve": measured, "bare_fastapi": reference,
                "throughput_ratio": round(measured["per_second"] / reference["per_second"], 3),
            }  # fmt: skip
    return found


async def write_figures(platform: RunningPlatform, *, seconds: float) -> dict[str, Any]:
    """Settings written through the whole path: closed loop at 16 connections, and paced at 50 and 200 a second."""
    keys = [f"bench.key_{number}" for number in range(KEYS)]
    async with httpx.AsyncClient(base_url=platform.url, headers=platform.headers, timeout=30) as http:
        for key in keys:
            answer = await http.post(READ, json={"key": key, "value": 0, "value_type": "integer", "category": "bench"})
            assert answer.status_code in (201, 409), answer.text
    requests = write_requests(platform, keys)
    return {
        "closed_16": await shoot(platform.url, requests, connections=16, seconds=seconds),
        "paced_50": await shoot(platform.url, requests, mode="paced", rate=50, seconds=seconds),
        "paced_200": await shoot(platform.url, requests, mode="paced", rate=200, seconds=seconds),
    }


def write_requests(platform: RunningPlatform, keys: Sequence[str]) -> list[bytes]:
    """One PUT for each key."""
    headers = {**platform.headers, "content-type": "application/json"}
    return [
        request_bytes("PUT", f"{READ}/{key}", headers=headers, body=orjson.dumps({"value": number}))
        for number, key in enumerate(keys)
    ]


@asynccontextmanager
async def bare_server(body: bytes) -> AsyncIterator[str]:
    """The URL of a bare FastAPI application that answers `READ` with these bytes, a process of its own."""
    port = free_port()
    with tempfile.NamedTemporaryFile() as file:
        file.write(body)
        file.flush()
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", BARE, str(port), file.name)
        try:
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
                for _ in range(100):
                    try:
                        await http.get(READ)
                        break
                    except httpx.TransportError:
                        await asyncio.sleep(0.1)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            await process.wait()
