"""The composition root: database, broker, consumers and routes of the notifications service on one screen."""

from collections.abc import Sequence

from libs.common.assertions import AssertionVerifier
from libs.common.broker.topology import NOTIFICATIONS_COMMANDS, NOTIFICATIONS_EVENTS
from libs.common.broker.transport import Transport
from libs.common.database.engine import Database
from libs.common.database.migrate import is_current
from libs.common.delivery.commands import CommandConsumer
from libs.common.delivery.relay import Relay
from libs.common.delivery.senders import RegisteredClient
from libs.common.delivery.subscriber import Arrived, Subscriber
from libs.common.errors import Unavailable
from libs.common.events.all_types import CATALOG
from libs.common.web.app import create_app
from libs.common.web.paging import CursorKey
from libs.common.web.service import Service
from services.notifications import routes
from services.notifications.handlers.commands import COMMANDS
from services.notifications.handlers.events import apply_rules, count_created
from services.notifications.handlers.gauges import ActiveAlerts

NAME = "notifications"
SOURCE = "/reeve/notifications"
VERSION = "0.1.0"


def build(
    *,
    database: Database,
    transport: Transport,
    verifier: AssertionVerifier,
    cursor_secret: bytes,
    clients: Sequence[RegisteredClient] = (),
) -> Service:
    """The service, ready to run: its application, and the relay, consumers and gauge as tasks."""
    active = ActiveAlerts(database)

    async def after(arrived: Sequence[Arrived]) -> None:
        await count_created(arrived)
        await active.notice(arrived)

    async def migrated() -> None:
        if not await is_current(database, NAME):
            raise Unavailable("the schema is not migrated")

    async def connected() -> None:
        if not transport.is_connected:
            raise Unavailable("the broker does not answer")

    events = Subscriber(
        database, transport, NOTIFICATIONS_EVENTS, handle=apply_rules, after=after, catalog=CATALOG, clients=clients
    )
    commands = CommandConsumer(
        database, transport, NOTIFICATIONS_COMMANDS, source=SOURCE, handlers=COMMANDS, catalog=CATALOG
    )
    app = create_app(
        service=NAME,
        title="Reeve notifications",
        version=VERSION,
        checks={"database": database.ping, "broker": connected, "migrations": migrated},
        assertions=verifier,
    )
    app.include_router(routes.router(database, CursorKey(cursor_secret)))
    tasks = (Relay(database, transport, producer=NAME).run, events.run, commands.run, active.run)
    return Service(name=NAME, app=app, tasks=tasks, database=database)
