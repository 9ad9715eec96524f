"""The composition root: database, broker, consumers and routes of the notifications service on one screen."""

from collections.abc import Sequence

from libs.common.broker.topology import NOTIFICATIONS_COMMANDS, NOTIFICATIONS_EVENTS
from libs.common.broker.transport import Transport
from libs.common.database.engine import Database
from libs.common.delivery.arrivals import Arrived
from libs.common.delivery.commands import CommandConsumer
from libs.common.delivery.relay import Relay
from libs.common.delivery.subscriber import Subscriber
from libs.common.events.all_types import CATALOG
from libs.common.keys import load_or_create_secret
from libs.common.start import assertion_verifier, open_database, open_transport, readiness
from libs.common.web.app import create_app
from libs.common.web.paging import CursorKey
from libs.common.web.service import Service
from services.notifications import routes
from services.notifications.config import Config
from services.notifications.handlers.commands import COMMANDS
from services.notifications.handlers.events import apply_rules, count_created
from services.notifications.handlers.gauges import ActiveAlerts

NAME = "notifications"
SOURCE = "/reeve/notifications"
VERSION = "0.1.0"


async def start(config: Config) -> Service:
    """The notifications service in a process of its own."""
    database = open_database(config, NAME)
    return build(config, database=database, transport=await open_transport(config, NAME))


def build(config: Config, *, database: Database, transport: Transport) -> Service:
    """Wire the notifications service; nothing runs before the service's tasks do."""
    app = create_app(
        service=NAME,
        title="Reeve notifications",
        version=VERSION,
        checks=readiness(database, transport, NAME),
        assertions=assertion_verifier(config.keys, NAME),
    )
    cursors = CursorKey(load_or_create_secret(config.keys / "notifications.cursors"))
    app.include_router(routes.router(database, cursors))

    active = ActiveAlerts(database)

    async def after(arrived: Sequence[Arrived]) -> None:
        await count_created(arrived)
        await active.notice(arrived)

    events = Subscriber(database, transport, NOTIFICATIONS_EVENTS, handle=apply_rules, after=after, catalog=CATALOG)
    commands = CommandConsumer(
        database, transport, NOTIFICATIONS_COMMANDS, source=SOURCE, handlers=COMMANDS, catalog=CATALOG
    )
    relay = Relay(database, transport, producer=NAME)
    tasks = (relay.run, commands.run, events.run, active.run)
    return Service(name=NAME, app=app, tasks=tasks, database=database, close=transport.close)
