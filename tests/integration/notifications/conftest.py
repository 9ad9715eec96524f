"""The notifications service on a real Postgres: its stores and consumers, and its routes called in-process."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import httpx
import pytest

from libs.common.assertions import HEADER, AssertionMinter
from libs.common.broker.embedded import EmbeddedTransport
from libs.common.broker.topology import NOTIFICATIONS_COMMANDS, NOTIFICATIONS_EVENTS
from libs.common.database.engine import Database
from libs.common.identity import Actor, ActorType, Caller, Level, Origin
from libs.common.keys import load_or_create_ed25519
from services.notifications.app import build
from services.notifications.config import Config
from tests.integration.notifications.desk import ADMIN, Desk


@pytest.fixture
async def database(database_for: Callable[..., Awaitable[Database]]) -> Database:
    """A fresh notifications schema."""
    return await database_for("notifications", pool_size=20)


@pytest.fixture
def desk(database: Database) -> Desk:
    """The service's entrances."""
    return Desk(database)


class Reader:
    """Calls the internal routes as the gateway does, for an administrator."""

    def __init__(self, client: httpx.AsyncClient, minter: AssertionMinter) -> None:
        self.client = client
        self.minter = minter

    async def get(
        self, target: str, *, admin_id: str = ADMIN, permission: str | None = None, audience: str = "notifications"
    ) -> httpx.Response:
        """GET `/internal/notifications<target>` with an assertion of the permission that its route demands."""
        path = f"/internal/notifications{target}"
        wanted = permission or ("alerts:read" if target.startswith("/alerts") else "notifications:read")
        actor = Actor(admin_id, ActorType.ADMIN, "ada", "admin", Level.ADMIN, frozenset((wanted,)))
        caller = Caller(actor, Origin(username="ada"), "correlation")
        token = self.minter.mint(caller, audience=audience, permission=wanted, method="GET", target=path)
        return await self.client.get(path, headers={HEADER: token})


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """A configuration whose keys directory has what the service needs."""
    settings = Config(data_dir=tmp_path)
    settings.keys.mkdir(parents=True, exist_ok=True)
    load_or_create_ed25519(settings.keys / "gateway.key")
    return settings


@pytest.fixture
async def reader(config: Config, database: Database) -> AsyncIterator[Reader]:
    """The routes, over a transport that nobody publishes to."""
    transport = EmbeddedTransport(queues=(NOTIFICATIONS_EVENTS, NOTIFICATIONS_COMMANDS))
    service = build(config, database=database, transport=transport)
    minter = AssertionMinter(load_or_create_ed25519(config.keys / "gateway.key"))
    asgi = httpx.ASGITransport(app=service.app)
    async with httpx.AsyncClient(transport=asgi, base_url="http://notifications") as client:
        yield Reader(client, minter)
