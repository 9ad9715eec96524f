"""The audit service's entrances for tests: events recorded in a transaction, its routes called, its rows read."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx

from libs.common.assertions import HEADER, AssertionMinter
from libs.common.broker.transport import Message
from libs.common.database.engine import Database, driver
from libs.common.delivery.arrivals import Arrived
from libs.common.events.envelope import STRUCTURED, Event, encode
from libs.common.identity import Actor, ActorType, Caller, Level, Origin
from libs.common.ids import new_id
from libs.common.web.service import Service
from services.audit.config import Config
from services.audit.handlers import Recorder
from services.audit.sequencer import Sequencer
from tests.support.postgres import PlatformDatabase
from tests.support.vouching import VouchingTransport

ADMIN = "0199a0c0-0000-7000-8000-00000000000a"
OTHER = "0199a0c0-0000-7000-8000-00000000000b"


def request_recorded(**given: Any) -> Event:
    """An administrator's request, as the gateway records it; `given` are attributes, `data` and `origin` add members."""
    origin = {"username": "ada@example.com", "ip_address": "203.0.113.7", "request_id": "request-1"}
    data = {"action": "list_settings", "outcome": "success", "method": "GET", "path": "/x", "status": 200}
    made: dict[str, Any] = {
        "id": new_id(), "source": "/reeve/gateway", "type": "reeve.request.recorded.v1", "time": datetime.now(UTC),
        "actorid": ADMIN, "actortype": "admin", "correlationid": "request-1",
        "data": {"origin": {**origin, **given.pop("origin", {})}, **data, **given.pop("data", {})},
    }  # fmt: skip
    return Event(**{**made, **given})


def platform_event(kind: str = "com.shop.order.placed.v1", **given: Any) -> Event:
    """An event of a shop's."""
    made: dict[str, Any] = {
        "id": new_id(), "source": "/platform/shop", "type": kind, "time": datetime.now(UTC), "subject": "order/4711",
        "data": {"store_id": 12, "total": "19.90"},
    }  # fmt: skip
    return Event(**{**made, **given})


def message_of(event: Event, *, app_id: str = "gateway", sender: str | None = None) -> Message:
    """One event a message, as a relay or a platform publishes it."""
    return Message(
        encode(event), STRUCTURED, "reeve.events", event.type, event.id, event.type, app_id=app_id, sender=sender
    )


def arrived(event: Event, *, producer: str = "gateway") -> Arrived:
    """An event as the subscriber hands it on."""
    return Arrived(event, producer, None, None, message_of(event))


@dataclass
class Built:
    """A service as `app.build` makes it, the transport that feeds it, and the database's owner."""

    service: Service
    transport: VouchingTransport
    database: Database
    platform: PlatformDatabase
    config: Config


class Archive:
    """One audit schema, written to as its consumer does and read as the gateway does."""

    def __init__(self, database: Database, client: httpx.AsyncClient, minter: AssertionMinter) -> None:
        self.database = database
        self.client = client
        self.minter = minter
        self.recorder = Recorder()

    async def record(self, *events: Event, producer: str = "gateway") -> None:
        """Record a batch of events in one transaction."""
        batch = [arrived(event, producer=producer) for event in events]
        async with self.database.transaction() as session:
            await self.recorder.record_events(session, batch)
        await self.recorder.count_stored(batch)

    async def sequence(self) -> int:
        """Take every leaf into the tree, as the sequencer does; returns how many."""
        taken, sequencer = 0, Sequencer(self.database)
        while count := await sequencer.turn():
            taken += count
        return taken

    async def get(
        self, target: str, *, permission: str = "audit:read", audience: str = "audit", reader: str = ADMIN
    ) -> httpx.Response:
        """GET `/internal/audit<target>` for an administrator with that permission."""
        path = f"/internal/audit{target}"
        actor = Actor(reader, ActorType.ADMIN, "ada", "admin", Level.ADMIN, frozenset((permission,)))
        caller = Caller(actor, Origin(username="ada"), "correlation")
        token = self.minter.mint(caller, audience=audience, permission=permission, method="GET", target=path)
        return await self.client.get(path, headers={HEADER: token})

    async def body(self, target: str) -> Any:
        """The body of a GET that must succeed."""
        found = await self.get(target)
        assert found.status_code == 200, found.text
        return found.json()

    async def found(self, query: str = "") -> list[str]:
        """The ids of the events whose entries a search finds, in order."""
        return [entry["event_id"] for entry in (await self.body(f"/logs{query}".rstrip("?")))["logs"]]

    async def walk(self, query: str = "") -> AsyncIterator[dict[str, Any]]:
        """Every entry that a search finds, page by page by cursor."""
        cursor: str | None = None
        while True:
            page = await self.body(f"/logs?{query}" + (f"&cursor={cursor}" if cursor else ""))
            for entry in page["logs"]:
                yield entry
            cursor = page["next_cursor"]
            if cursor is None:
                return

    async def rows(self, statement: str, *values: object) -> Sequence[dict[str, Any]]:
        """What a statement finds, as the service's own role."""
        async with self.database.reading() as session:
            return [dict(row) for row in await driver(session).fetch(statement, *values)]

    async def value(self, statement: str, *values: object) -> Any:
        """The first column of the first row that a statement finds."""
        async with self.database.reading() as session:
            return await driver(session).fetchval(statement, *values)
