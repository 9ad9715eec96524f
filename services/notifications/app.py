"""The composition root: database, broker, consumers and routes of the notifications service on one screen."""

from collections.abc import Sequence

from libs.common.broker.topology import NOTIFICATIONS_COMMANDS, NOTIFICATIONS_EVENTS
from libs.common.broker.transport import Transport
from libs.common.database.engine import Database, Session
from libs.common.delivery.arrivals import Arrived
from libs.common.delivery.commands import CommandConsumer
from libs.common.delivery.relay import Relay
from libs.common.delivery.subscriber import Subscriber
from libs.common.events.all_types import CATALOG
from libs.common.events.deliveries import SendLink, SendNotice
from libs.common.keys import load_or_create_secret, load_or_create_x25519
from libs.common.sealing import Unsealer
from libs.common.start import assertion_verifier, open_database, open_transport, readiness
from libs.common.web.app import create_app
from libs.common.web.paging import CursorKey
from libs.common.web.service import Service
from services.notifications import routes
from services.notifications.channels.console import ConsoleChannel
from services.notifications.channels.email import EmailChannel
from services.notifications.channels.outcomes import Channel
from services.notifications.commands.deliveries import send_link
from services.notifications.commands.notices import send_notice
from services.notifications.config import Config
from services.notifications.deliverer import Deliverer
from services.notifications.handlers.commands import COMMANDS
from services.notifications.handlers.events import apply_rules, count_created, take_direct
from services.notifications.handlers.gauges import ActiveAlerts
from services.notifications.handlers.people import follow_accounts

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
    app.include_router(routes.router(database, cursors, take_direct=take_direct))

    channel = _channel(config)
    unsealer = Unsealer(load_or_create_x25519(config.keys / "notifications.key"))
    deliverer = Deliverer(database, channel, unsealer)
    active = ActiveAlerts(database)

    async def after(arrived: Sequence[Arrived]) -> None:
        await count_created(arrived)
        await active.notice(arrived)

    async def apply(session: Session, arrived: Sequence[Arrived]) -> None:
        # First what is to be told, then whose part of it is to go again.
        await apply_rules(session, arrived)
        await follow_accounts(session, arrived)

    events = Subscriber(database, transport, NOTIFICATIONS_EVENTS, handle=apply, after=after, catalog=CATALOG)
    handlers = {
        **COMMANDS,
        SendLink.TYPE: send_link(channel.name),
        SendNotice.TYPE: send_notice(channel.name, unsealer),
    }
    commands = CommandConsumer(
        database, transport, NOTIFICATIONS_COMMANDS, source=SOURCE, handlers=handlers, catalog=CATALOG
    )
    app.state.consumers = (events, commands.subscriber)
    relay = Relay(database, transport, producer=NAME)
    tasks = (relay.run, commands.run, events.run, active.run, deliverer.run)
    return Service(name=NAME, app=app, tasks=tasks, database=database, close=transport.close)


def _channel(config: Config) -> Channel:
    server = config.mail_server
    return EmailChannel(server, config.sender) if server is not None else ConsoleChannel()
