"""The service's entrances for tests: commands and events applied in a transaction of their own, and what they left."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from libs.common.broker.transport import Message
from libs.common.database import outbox
from libs.common.database.engine import Database, driver
from libs.common.delivery.arrivals import Arrived
from libs.common.events.catalog import CommandData, new_event
from libs.common.events.envelope import STRUCTURED, Event, decode, encode
from libs.common.identity import Origin
from libs.common.ids import new_id
from services.notifications.handlers.commands import COMMANDS
from services.notifications.handlers.events import apply_rules
from services.notifications.handlers.people import follow_accounts

ADMIN = "0199a0c0-0000-7000-8000-00000000000a"
OTHER = "0199a0c0-0000-7000-8000-00000000000b"
MISSING = "0199a0c0-0000-7000-8000-0000000000ff"
"""The id of nothing."""
ORIGIN = Origin(username="ada", ip_address="203.0.113.7", request_id="request-1")


def platform_event(kind: str = "platform.import.failed.v1", *, severity: str | None = None, **data: Any) -> Event:
    """An event of a shop's."""
    return Event(
        id=new_id(), source="/platform/shop", type=kind, time=datetime.now(UTC), data={"store_id": 12, **data},
        severitytext=severity,
    )  # fmt: skip


def command(data: CommandData, *, admin_id: str | None = ADMIN) -> Event:
    """A command as the gateway sends it."""
    asked = data.model_copy(update={"origin": ORIGIN})
    return new_event(asked, subject="x/1", actor_id=admin_id, actor_type="admin", correlation_id="request-1")


def arrived(event: Event) -> Arrived:
    """An event as the subscriber hands it on."""
    message = Message(encode(event), STRUCTURED, "reeve.events", event.type, event.id, event.type, app_id="gateway")
    return Arrived(event, "gateway", None, None, message)


class Desk:
    """One service's schema, written to as its consumers do."""

    def __init__(self, database: Database) -> None:
        self.database = database

    async def ask(self, data: CommandData, *, admin_id: str | None = ADMIN) -> dict[str, Any]:
        """Apply a command; the data of its outcome event."""
        asked = command(data, admin_id=admin_id)
        async with self.database.transaction() as session:
            [outcome] = await COMMANDS[asked.type](session, [asked])
            await outbox.emit(session, outcome)
        assert outcome.causationid == asked.id
        found: dict[str, Any] = outcome.data
        return found

    async def hear(self, *events: Event) -> None:
        """Apply a batch of events."""
        async with self.database.transaction() as session:
            await apply_rules(session, [arrived(event) for event in events])

    async def follow(self, *events: Event) -> None:
        """Apply what events say of accounts."""
        async with self.database.transaction() as session:
            await follow_accounts(session, [arrived(event) for event in events])

    async def left(self) -> list[Event]:
        """The events in the outbox, in order."""
        return [decode(row["body"]) for row in await self.rows("SELECT body FROM outbox ORDER BY position")]

    async def rows(self, statement: str, *values: object) -> Sequence[dict[str, Any]]:
        """What a statement finds."""
        async with self.database.reading() as session:
            return [dict(row) for row in await driver(session).fetch(statement, *values)]

    async def value(self, statement: str, *values: object) -> Any:
        """The first column of the first row that a statement finds."""
        async with self.database.reading() as session:
            return await driver(session).fetchval(statement, *values)
