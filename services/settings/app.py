"""The settings service's composition root: everything it is made of, on one screen."""

from datetime import UTC, datetime

from libs.common.broker.topology import SETTINGS_COMMANDS, SETTINGS_EVENTS
from libs.common.broker.transport import Transport
from libs.common.database.engine import Database
from libs.common.database.migrate import migrate
from libs.common.delivery.commands import CommandConsumer
from libs.common.delivery.relay import Relay
from libs.common.delivery.subscriber import Subscriber
from libs.common.errors import ConfigError
from libs.common.events.all_types import CATALOG
from libs.common.keys import load_or_create_secret, load_or_create_x25519
from libs.common.sealing import Unsealer
from libs.common.start import assertion_verifier, open_database, open_transport, readiness
from libs.common.web.app import create_app
from libs.common.web.paging import CursorKey
from libs.common.web.service import Service
from services.settings import routes
from services.settings.commands.defaults import create_defaults
from services.settings.config import Config
from services.settings.handlers import command_handlers, follow_accounts
from services.settings.models.defaults import DEFAULTS
from services.settings.secrets.keyring import load_keyring
from services.settings.secrets.keys import Keys
from services.settings.secrets.vault import Vault
from services.settings.store import secrets

NAME = "settings"
SOURCE = "/reeve/settings"
VERSION = "0.1.0"


async def start(config: Config) -> Service:
    """The settings service in a process of its own: connects, checks its keys, creates the default settings."""
    database = open_database(config, NAME)
    transport = await open_transport(config, NAME)
    service = build(config, database=database, transport=transport)
    await prepare(service)
    return service


async def apply_migrations(config: Config) -> None:
    """Bring the settings schema up to date, as the role that owns it."""
    if config.database_url is None:
        raise ConfigError("REEVE_DATABASE_URL: must be set")
    await migrate(config.database_url.get_secret_value(), service=NAME)


async def prepare(service: Service) -> None:
    """Create the default settings that never were. Raises `ConfigError` when a stored secret needs a key that is not here."""
    database: Database = service.app.state.database
    vault: Vault = service.app.state.vault
    async with database.transaction() as session:
        missing = [one for one in await secrets.key_ids(session) if not vault.holds(one)]
        if missing:
            raise ConfigError(
                f"REEVE_KEK_FILE: stored secrets need the key-encryption key {missing[0]}, which it is not"
            )
        await create_defaults(session, DEFAULTS, vault=vault, at=datetime.now(UTC))


def build(config: Config, *, database: Database, transport: Transport) -> Service:
    """Wire the settings service; nothing runs before the service's tasks do."""
    keys = Keys(
        unsealer=Unsealer(load_or_create_x25519(config.keys / "settings.key")),
        vault=Vault(load_keyring(config.kek_path)),
    )
    app = create_app(
        service=NAME,
        title="Reeve settings",
        version=VERSION,
        checks=readiness(database, transport, NAME),
        assertions=assertion_verifier(config.keys, NAME),
    )
    app.state.database = database
    app.state.vault = keys.vault
    app.state.cursor_key = CursorKey(load_or_create_secret(config.keys / "settings.cursors"))
    app.include_router(routes.router)

    commands = CommandConsumer(
        database, transport, SETTINGS_COMMANDS, source=SOURCE, handlers=command_handlers(keys), catalog=CATALOG
    )
    events = Subscriber(database, transport, SETTINGS_EVENTS, handle=follow_accounts, catalog=CATALOG)
    app.state.consumers = (events, commands.subscriber)
    relay = Relay(database, transport, producer=NAME)
    return Service(
        name=NAME, app=app, tasks=(relay.run, commands.run, events.run), database=database, close=transport.close
    )
