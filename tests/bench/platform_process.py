"""The platform under test: `python -m services run` in a process of its own, on a fresh data directory."""

import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.support.processes import free_port

PASSWORD = "measured-not-secret-1"
EMAIL = "admin@example.com"
READY_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class RunningPlatform:
    """Where it answers, with an administrator's access token, and its process id."""

    url: str
    token: str
    pid: int

    @property
    def headers(self) -> dict[str, str]:
        """The headers of an authenticated request."""
        return {"authorization": f"Bearer {self.token}"}


@asynccontextmanager
async def running_platform(*, amqp_url: str | None, namespace: str) -> AsyncIterator[RunningPlatform]:
    """Start it, wait until it is ready, and stop it at the end. `amqp_url` None is the in-process transport."""
    port, metrics_port = free_port(), free_port()
    with tempfile.TemporaryDirectory(prefix="reeve-bench-") as folder:
        environment = {
            **os.environ, "REEVE_PORT": str(port), "REEVE_METRICS_PORT": str(metrics_port), "REEVE_DATA_DIR": folder,
            "REEVE_AMQP_URL": amqp_url or "embedded", "REEVE_AMQP_NAMESPACE": namespace, "REEVE_ADMIN_EMAIL": EMAIL,
            "REEVE_ADMIN_PASSWORD": PASSWORD, "REEVE_RATE_LIMIT": "1000000000/minute", "REEVE_TRACE_SAMPLE": "0.01",
            "REEVE_LOG_LEVEL": "warning",
        }  # fmt: skip
        log = (Path(folder) / "bench.log").open("wb")
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "services", "run", env=environment, stdout=log, stderr=log
        )
        try:
            url = f"http://127.0.0.1:{port}"
            yield RunningPlatform(url, await _signed_in(url, process, Path(log.name)), process.pid)
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGINT)
                await asyncio.wait_for(process.wait(), 30)
            log.close()


async def _signed_in(url: str, process: asyncio.subprocess.Process, log: Path) -> str:
    async with httpx.AsyncClient(base_url=url) as http:
        for _ in range(int(READY_SECONDS * 10)):
            if process.returncode is not None:
                raise RuntimeError(f"the platform ended: {log.read_text()[-2000:]}")
            try:
                answer = await http.post("/api/v1/admin/auth/login", json={"email": EMAIL, "password": PASSWORD})
                if answer.status_code == 200:
                    return str(answer.json()["access_token"])
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.1)
    raise RuntimeError(f"the platform was not ready in {READY_SECONDS} s: {log.read_text()[-2000:]}")
