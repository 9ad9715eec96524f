"""The audit service's composition root: everything it is made of, on one screen."""

from functools import partial

from libs.common.broker.topology import AUDIT_COMMANDS, AUDIT_EVENTS
from libs.common.broker.transport import Transport
from libs.common.database.engine import Database
from libs.common.delivery.commands import CommandConsumer
from libs.common.delivery.relay import Relay
from libs.common.delivery.subscriber import Subscriber
from libs.common.events.all_types import CATALOG
from libs.common.exports.commands import ExportCommands
from libs.common.exports.jobs import Policy
from libs.common.exports.manifest import ManifestSigner
from libs.common.exports.routes import exports_router
from libs.common.exports.worker import ExportWorker
from libs.common.keys import load_or_create_ed25519, load_or_create_secret
from libs.common.start import assertion_verifier, open_database, open_transport, readiness
from libs.common.web.app import create_app
from libs.common.web.paging import CursorKey
from libs.common.web.service import Service
from services.audit.commands import COMMANDS
from services.audit.config import Config
from services.audit.exports import PERMISSION, SOURCE, AuditSource
from services.audit.handlers import Recorder, keep_partitions_ahead
from services.audit.routes import entries, saved_searches

NAME = "audit"
SPEAKS_AS = "/reeve/audit"
VERSION = "0.1.0"
SEARCH_SECONDS = 2.0
SEARCH_CONNECTIONS = 4


async def start(config: Config) -> Service:
    """The audit service in a process of its own."""
    database = open_database(config, NAME)
    search = open_database(config, NAME, pool_size=SEARCH_CONNECTIONS, statement_timeout_seconds=SEARCH_SECONDS)
    return build(config, database=database, search_database=search, transport=await open_transport(config, NAME))


def build(config: Config, *, database: Database, search_database: Database, transport: Transport) -> Service:
    """Wire the audit service; searches have a small pool and a statement time-out of their own."""
    recorder = Recorder()
    app = create_app(
        service=NAME,
        title="Reeve audit",
        version=VERSION,
        checks=readiness(database, transport, NAME),
        assertions=assertion_verifier(config.keys, NAME),
    )
    app.state.search_database = search_database
    app.state.cursor_key = CursorKey(load_or_create_secret(config.keys / "audit.cursors"))
    app.include_router(entries.router)
    app.include_router(saved_searches.router)

    events = Subscriber(
        database,
        transport,
        AUDIT_EVENTS,
        handle=recorder.record_events,
        after=recorder.count_stored,
        catalog=CATALOG,
    )
    relay = Relay(database, transport, producer=NAME)

    sources = {SOURCE: AuditSource(database)}
    signer = ManifestSigner(load_or_create_ed25519(config.keys / "audit.exports.key"))
    worker = ExportWorker(
        database, sources, folder=config.exports, policy=_policy(config), signer=signer, speaks_as=SPEAKS_AS
    )
    app.include_router(
        exports_router(
            database, service=NAME, source=SOURCE, permission=PERMISSION, folder=config.exports, signer=signer
        )
    )
    commands = CommandConsumer(
        database,
        transport,
        AUDIT_COMMANDS,
        source=SPEAKS_AS,
        handlers={**COMMANDS, **ExportCommands(sources, speaks_as=SPEAKS_AS).handlers()},
        catalog=CATALOG,
    )

    async def close() -> None:
        await search_database.close()
        await transport.close()

    return Service(
        name=NAME,
        app=app,
        tasks=(events.run, commands.run, relay.run, worker.run, partial(keep_partitions_ahead, database)),
        database=database,
        close=close,
    )


def _policy(config: Config) -> Policy:
    return Policy(
        most_rows=config.exports_most_rows,
        most_bytes=config.exports_most_mib * 1024 * 1024,
        most_seconds=config.exports_most_seconds,
        kept_hours=config.exports_kept_hours,
    )
