"""The audit service's composition root: everything it is made of, on one screen."""

from collections.abc import Sequence
from functools import partial

from libs.common.broker.topology import AUDIT_COMMANDS, AUDIT_EVENTS
from libs.common.broker.transport import Transport
from libs.common.database.engine import Database, Session
from libs.common.database.migrate import is_current
from libs.common.delivery.arrivals import Arrived
from libs.common.delivery.commands import CommandConsumer
from libs.common.delivery.intake import Handle
from libs.common.delivery.refusals import Refusals
from libs.common.delivery.relay import Relay
from libs.common.delivery.subscriber import Subscriber
from libs.common.errors import Unavailable
from libs.common.events.all_types import CATALOG
from libs.common.exports.commands import ExportCommands
from libs.common.exports.jobs import Policy
from libs.common.exports.manifest import ManifestSigner
from libs.common.exports.routes import exports_router
from libs.common.exports.worker import ExportWorker
from libs.common.keys import (
    load_ed25519_public,
    load_or_create_ed25519,
    load_or_create_secret,
    load_or_create_x25519,
    public_path,
)
from libs.common.sealing import Locker, Unsealer
from libs.common.start import assertion_verifier, open_database, open_transport, readiness
from libs.common.web.app import create_app
from libs.common.web.paging import CursorKey
from libs.common.web.service import Service
from libs.common.webhooks import secret_bytes
from services.audit.anchors.anchor import Anchor
from services.audit.anchors.anchoring import Anchoring
from services.audit.anchors.bucket import BucketAnchor
from services.audit.anchors.file import FileAnchor
from services.audit.anchors.timestamper import TimestampAnchor, roots_of
from services.audit.anchors.webhook import WebhookAnchor
from services.audit.anchors.witness import WitnessAnchor
from services.audit.archives.archivist import Archivist
from services.audit.archives.bucket import ArchiveBucket
from services.audit.archives.folder import ArchiveFolder
from services.audit.archives.place import ArchivePlace
from services.audit.commands.event_schemas import learn_schemas, open_book
from services.audit.commands.quarantine import QuarantineCommands
from services.audit.commands.redactions import RedactionCommands, redact_erased_users
from services.audit.commands.retention import RETENTION_COMMANDS
from services.audit.commands.saved_searches import COMMANDS
from services.audit.commands.sinks import SinkCommands
from services.audit.config import Config
from services.audit.exports import PERMISSION, SOURCE, AuditSource
from services.audit.handlers import Recorder, give_leaves, keep_partitions_ahead
from services.audit.log.notes import SigningKey, VerifierKey
from services.audit.log.proofs import consistency_ranges
from services.audit.log.receipts import SUFFIX
from services.audit.objects.bucket import Bucket
from services.audit.objects.storage import ObjectStorage
from services.audit.redactor import Redactor
from services.audit.retention import Retention
from services.audit.routes import entries as entry_routes
from services.audit.routes import gaps as gap_routes
from services.audit.routes import log as log_routes
from services.audit.routes import quarantine as quarantine_routes
from services.audit.routes import redactions as redaction_routes
from services.audit.routes import retention as retention_routes
from services.audit.routes import saved_searches
from services.audit.routes import sinks as sink_routes
from services.audit.sending.s3 import S3Sender
from services.audit.sending.syslog import SyslogSender
from services.audit.sending.webhook import WebhookSender
from services.audit.sequencer import Sequencer
from services.audit.signer import Signer
from services.audit.store import quarantine, tree
from services.audit.streamer import Streamer
from services.audit.watcher import Watcher

NAME = "audit"
SIGNER = "audit-signer"
LOG_KEY = "audit-log.key"
RECEIPTS_KEY = "audit.receipts.key"
SEALING_KEY = "audit.sealing.key"
"""What secrets are sealed to on their way here."""
SPEAKS_AS = "/reeve/audit"
VERSION = "0.1.0"
SEARCH_SECONDS = 2.0
SEARCH_CONNECTIONS = 4
SIGNER_CONNECTIONS = 2


async def start(config: Config) -> Service:
    """The audit service in a process of its own."""
    database = open_database(config, NAME)
    search = open_database(config, NAME, pool_size=SEARCH_CONNECTIONS, statement_timeout_seconds=SEARCH_SECONDS)
    return build(config, database=database, search_database=search, transport=await open_transport(config, NAME))


async def start_signer(config: Config) -> Service:
    """The signer in a process of its own: a key, a file, a connection, and no more of HTTP than probes."""
    database = open_database(config, NAME, pool_size=SIGNER_CONNECTIONS)

    async def migrated() -> None:
        if not await is_current(database, NAME):
            raise Unavailable("the schema is not migrated", code="schema_outdated")

    app = create_app(
        service=SIGNER,
        title="Reeve audit signer",
        version=VERSION,
        checks={"database": database.ping, "migrations": migrated},
    )
    return Service(name=SIGNER, app=app, tasks=(signer(config, database).run,), database=database)


def signer(config: Config, database: Database) -> Signer:
    """The signer; makes the log's key where there is none."""
    key = load_or_create_ed25519(config.keys / LOG_KEY)
    return Signer(database, SigningKey(config.audit_log_origin, key), config.signer_dir)


def build(
    config: Config, *, database: Database, search_database: Database, transport: Transport, signs: bool = False
) -> Service:
    """Wire the audit service; searches have a small pool and a statement time-out of their own.

    `signs` has the signer run here too: where one process is the whole platform.
    """
    recorder, sequencer = Recorder(), Sequencer(database)
    app = create_app(
        service=NAME,
        title="Reeve audit",
        version=VERSION,
        checks=readiness(database, transport, NAME),
        assertions=assertion_verifier(config.keys, NAME),
    )
    app.state.search_database = search_database
    app.state.cursor_key = CursorKey(load_or_create_secret(config.keys / "audit.cursors"))
    public = load_ed25519_public(public_path(config.keys / LOG_KEY))
    app.state.log_key = VerifierKey(config.audit_log_origin, public.public_bytes_raw())
    app.state.quorum = config.quorum
    receipts = load_or_create_ed25519(config.keys / RECEIPTS_KEY)
    app.state.receipt_key = SigningKey(f"{config.audit_log_origin}{SUFFIX}", receipts)
    app.include_router(entry_routes.router)
    app.include_router(log_routes.router)
    app.include_router(saved_searches.router)
    app.include_router(sink_routes.router)
    app.include_router(redaction_routes.router)
    app.include_router(quarantine_routes.router)
    app.include_router(gap_routes.router)
    app.include_router(retention_routes.router)

    async def count_and_sequence(arrived: Sequence[Arrived]) -> None:
        await recorder.count_stored(arrived)
        sequencer.wake()

    events = Subscriber(
        database,
        transport,
        AUDIT_EVENTS,
        handle=_recording(recorder),
        after=count_and_sequence,
        catalog=CATALOG,
        letters=quarantine,
        checks_services=True,
        registered=open_book(database),
        refusals=Refusals(source=SPEAKS_AS, queue=AUDIT_EVENTS.name),
    )
    relay = Relay(database, transport, producer=NAME)

    async def record() -> None:
        await give_leaves(database)
        await events.run()

    async def sequence() -> None:
        await give_leaves(database)
        await sequencer.run()

    signing = (signer(config, database).run,) if signs else ()
    sources = {SOURCE: AuditSource()}
    manifests = ManifestSigner(load_or_create_ed25519(config.keys / "audit.exports.key"))
    worker = ExportWorker(
        database, sources, folder=config.exports, policy=_policy(config), signer=manifests, speaks_as=SPEAKS_AS
    )
    # What an operator names may be a loopback; what an administrator names may not.
    buckets = ObjectStorage(config.egress_allow, trusts_loopback=True)
    archivist = Archivist(
        database, config.archives, _archive_place(config, buckets), signer=manifests, key=app.state.log_key.text
    )
    retention = Retention(database, archivist, days=config.audit_retention_days)
    app.include_router(
        exports_router(
            database, service=NAME, source=SOURCE, permission=PERMISSION, folder=config.exports, signer=manifests
        )
    )
    locker, webhooks = Locker(load_or_create_secret(config.keys / "audit.sinks")), WebhookSender(config.egress_allow)
    sinks = SinkCommands(
        unsealer=Unsealer(load_or_create_x25519(config.keys / SEALING_KEY)), locker=locker, allowed=config.egress_allow
    )
    objects = ObjectStorage(config.egress_allow, trusts_loopback=False)
    streamer = Streamer(
        database, syslog=SyslogSender(config.egress_allow), webhooks=webhooks, objects=S3Sender(objects), locker=locker
    )
    commands = CommandConsumer(
        database,
        transport,
        AUDIT_COMMANDS,
        source=SPEAKS_AS,
        handlers={
            **COMMANDS,
            **RETENTION_COMMANDS,
            **RedactionCommands().handlers(),
            **QuarantineCommands(_recording(Recorder()), CATALOG, speaks_as=SPEAKS_AS).handlers(),
            **sinks.handlers(),
            **ExportCommands(sources, speaks_as=SPEAKS_AS).handlers(),
        },
        catalog=CATALOG,
    )
    app.state.consumers = (events, commands.subscriber)

    async def close() -> None:
        await webhooks.close()
        await objects.close()
        await buckets.close()
        await search_database.close()
        await transport.close()

    return Service(
        name=NAME,
        app=app,
        tasks=(
            record,
            relay.run,
            partial(keep_partitions_ahead, database),
            sequence,
            commands.run,
            worker.run,
            Redactor(database).run,
            Watcher(database, quorum=config.quorum).run,
            retention.run,
            Anchoring(database, _anchors(config, buckets), seconds=config.audit_anchor_seconds).run,
            Anchoring(database, _witnesses(config, database), seconds=config.audit_witness_seconds, in_step=True).run,
            streamer.run,
            *signing,
        ),
        database=database,
        close=close,
    )


def _recording(recorder: Recorder) -> Handle:
    """Stores what arrived, begins to redact whose account was erased, and learns which types have a schema."""

    async def record(session: Session, arrived: Sequence[Arrived]) -> None:
        await recorder.record_events(session, arrived)
        await redact_erased_users(session, arrived)
        await learn_schemas(session, arrived)

    return record


def _archive_place(config: Config, buckets: ObjectStorage) -> ArchivePlace:
    """The bucket that is configured, else the folder."""
    if config.audit_archive_bucket is None or config.audit_archive_bucket_secret is None:
        return ArchiveFolder(config.archives)
    secret = config.audit_archive_bucket_secret.get_secret_value()
    return ArchiveBucket(Bucket(buckets, config.audit_archive_bucket, secret))


def _anchors(config: Config, buckets: ObjectStorage) -> list[Anchor]:
    """Those that are configured."""
    found: list[Anchor] = []
    if config.audit_anchor_bucket is not None and config.audit_anchor_bucket_secret is not None:
        secret_key = config.audit_anchor_bucket_secret.get_secret_value()
        found.append(BucketAnchor(Bucket(buckets, config.audit_anchor_bucket, secret_key)))
    if config.audit_anchor_file is not None:
        found.append(FileAnchor(config.audit_anchor_file))
    if config.audit_anchor_webhook_url is not None and config.audit_anchor_webhook_secret is not None:
        secret = secret_bytes(config.audit_anchor_webhook_secret.get_secret_value())
        url, origin = str(config.audit_anchor_webhook_url), config.audit_log_origin
        found.append(WebhookAnchor(url, secret, origin=origin, allowed=config.egress_allow))
    if config.audit_anchor_tsa_url is not None and config.audit_anchor_tsa_roots is not None:
        url, roots = str(config.audit_anchor_tsa_url), roots_of(config.audit_anchor_tsa_roots)
        found.append(TimestampAnchor(url, roots, allowed=config.egress_allow))
    return found


def _witnesses(config: Config, database: Database) -> list[Anchor]:
    """Those that are configured."""

    async def prove(old: int, new: int) -> Sequence[bytes]:
        async with database.reading() as session:
            return await tree.proof(session, consistency_ranges(old, new))

    return [
        WitnessAnchor(str(one.url), one.key, prove=prove, allowed=config.egress_allow) for one in config.audit_witnesses
    ]


def _policy(config: Config) -> Policy:
    return Policy(
        most_rows=config.exports_most_rows,
        most_bytes=config.exports_most_mib * 1024 * 1024,
        most_seconds=config.exports_most_seconds,
        kept_hours=config.exports_kept_hours,
    )
