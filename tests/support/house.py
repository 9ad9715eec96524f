"""The whole platform in this process: four services on one Postgres and the in-process broker, behind real ports."""

import asyncio
import os
import threading
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

import httpx

from libs.common.broker.embedded import EmbeddedTransport
from libs.common.web.serve import STOP_SECONDS, run_services
from libs.common.web.under_way import under_way
from services import single
from services.gateway import app as gateway
from services.gateway.config import Config as GatewayConfig
from services.preparation import make_keys
from services.settings import app as settings
from tests.support.postgres import PlatformDatabase
from tests.support.processes import free_port

EMAIL = "first@example.com"
PASSWORD = "correct horse battery"
START_SECONDS = 30.0
FRESH_SECONDS = 240.0
ADMIN = "/api/v1/admin"
SHOP = {"client_id": "shop", "client_secret": "shop-secret-of-the-tests", "source": "/platform/shop"}


@dataclass
class House:
    """A running platform. `tokens` are access tokens by role and client, kept while they are a fresh proof."""

    database: PlatformDatabase
    url: str
    metrics_url: str
    keys: Path
    _thread: threading.Thread
    _stop: "Stop"
    tokens: dict[str, tuple[float, str]] = field(default_factory=dict)

    def stop(self) -> None:
        """Stop everything and wait for it; what does not stop is told, for the process is about to leave because of it."""
        self._stop.now()
        self._thread.join(STOP_SECONDS - 5)
        if self._thread.is_alive() and self._stop.loop is not None:
            raise AssertionError(f"the platform does not stop: {under_way(self._stop.loop)}")

    def client(self, role: str | None = "super_admin") -> httpx.Client:
        """A client of the gateway with the token of a role, or without one."""
        headers = {"authorization": f"Bearer {self.token(role)}"} if role else {}
        # Plain HTTP: to load the authorities of TLS would take 20 ms.
        return httpx.Client(base_url=self.url, headers=headers, timeout=20, verify=False)

    def token(self, role: str) -> str:
        """The access token of an administrator of this role, or of the shop (`client`)."""
        made, token = self.tokens.get(role, (0.0, ""))
        if not token or monotonic() > made + FRESH_SECONDS:
            made, token = self.tokens[role] = monotonic(), self._new_token(role)
        return token

    def _new_token(self, role: str) -> str:
        with self.client(None) as http:
            if role == "client":
                form = {"grant_type": "client_credentials", "client_id": SHOP["client_id"]}
                made = http.post("/api/v1/oauth/token", data={**form, "client_secret": SHOP["client_secret"]})
                return str(made.raise_for_status().json()["access_token"])
            if role != "super_admin" and role not in self.tokens:
                body = {"email": f"{role}@example.com", "name": role, "role": role, "password": PASSWORD}
                with self.client() as first:
                    first.post(f"{ADMIN}/users", json=body).raise_for_status()
            email = EMAIL if role == "super_admin" else f"{role}@example.com"
            signed_in = http.post(f"{ADMIN}/auth/login", json={"email": email, "password": PASSWORD})
            return str(signed_in.raise_for_status().json()["access_token"])


class Stop:
    """Ends the platform's loop from another thread."""

    def __init__(self) -> None:
        self.event: asyncio.Event | None = None
        self.loop: asyncio.AbstractEventLoop | None = None
        self.ready = threading.Event()
        self.error: BaseException | None = None

    def now(self) -> None:
        """Set the event, where the loop still runs."""
        if self.loop is not None and self.event is not None and self.loop.is_running():
            self.loop.call_soon_threadsafe(self.event.set)


def open_house(database: PlatformDatabase, folder: Path, **variables: str) -> House:
    """Start the platform; returns when it answers."""
    port, metrics_port = free_port(), free_port()
    environment = {
        "REEVE_PORT": str(port),
        "REEVE_DATA_DIR": str(folder),
        "REEVE_DATABASE_CONNECTIONS": "2",
        "REEVE_ADMIN_EMAIL": EMAIL,
        "REEVE_ADMIN_PASSWORD": PASSWORD,
        "REEVE_RATE_LIMIT": "1000000/minute",
        "REEVE_LOGIN_RATE_LIMIT": "1000000/minute",
        "REEVE_CLIENTS": (
            '[{"client_id": "shop", "client_secret": "shop-secret-of-the-tests", "source": "/platform/shop",'
            ' "scopes": ["events:publish"], "event_types": ["com.shop.*", "platform.*"]}]'
        ),
        **variables,
    }
    stop = Stop()

    def live() -> None:
        try:
            asyncio.run(_live(database.urls, stop, environment, port, metrics_port))
        except BaseException as error:
            stop.error = error
        finally:
            stop.ready.set()

    thread = threading.Thread(target=live, name="platform", daemon=True)
    thread.start()
    assert stop.ready.wait(START_SECONDS), "the platform did not start in time"
    if stop.error is not None:
        raise stop.error
    return House(
        database, f"http://127.0.0.1:{port}", f"http://127.0.0.1:{metrics_port}/metrics", folder / "keys", thread, stop
    )


async def _live(urls: Mapping[str, str], stop: Stop, environment: Mapping[str, str], port: int, metrics: int) -> None:
    stop.loop, stop.event = asyncio.get_running_loop(), asyncio.Event()
    with _environment(environment):
        config = GatewayConfig.load()
        make_keys(config.keys)
        services = single.build_services(urls, EmbeddedTransport())
        await settings.prepare(services[1])
        await gateway.prepare(services[-1], config)
    await run_services(
        services, listen={"gateway": ("127.0.0.1", port)}, metrics_address=("127.0.0.1", metrics), stop=stop.event,
        on_ready=stop.ready.set,
    )  # fmt: skip


@contextmanager
def _environment(variables: Mapping[str, str]) -> Any:
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
