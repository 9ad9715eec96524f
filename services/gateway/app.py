"""The gateway's composition root: everything it is made of, on one screen."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import partial

from fastapi import APIRouter

from libs.common import logs
from libs.common.assertions import AssertionMinter, AssertionVerifier
from libs.common.broker.topology import EVENTS, GATEWAY_OUTCOMES
from libs.common.broker.transport import Transport
from libs.common.database.engine import Database, Session
from libs.common.database.group_commit import GroupCommit
from libs.common.delivery.arrivals import Arrived
from libs.common.delivery.commands import CommandClient
from libs.common.delivery.relay import Relay
from libs.common.delivery.subscriber import Subscriber
from libs.common.events import asyncapi
from libs.common.events.all_types import CATALOG
from libs.common.events.event_types import CHANGES
from libs.common.exports.commands import ExportCommands
from libs.common.exports.jobs import Policy
from libs.common.exports.manifest import ManifestSigner
from libs.common.exports.routes import exports_router as exports_of
from libs.common.exports.worker import ExportWorker
from libs.common.keys import load_or_create_ed25519, load_or_create_secret, load_x25519_public, public_path
from libs.common.sealing import Locker
from libs.common.start import open_database, open_transport, readiness
from libs.common.web.app import create_app
from libs.common.web.service import Service
from services.gateway.access import breaches
from services.gateway.access.breaches import BreachList, FileList, RangeList
from services.gateway.access.buckets import Limiter, TokenBucketRateLimiter
from services.gateway.access.guard import install
from services.gateway.access.issuers.directory import TrustedIssuers
from services.gateway.access.issuers.egress import Egress
from services.gateway.access.issuers.issuer import Issuer
from services.gateway.access.issuers.models import origin_of
from services.gateway.access.issuers.relying_party import Registration, RelyingParty
from services.gateway.access.lifetimes import Lifetimes
from services.gateway.access.limits import new_limits
from services.gateway.access.memory_buckets import MemoryBuckets
from services.gateway.access.outsiders import Outsiders
from services.gateway.access.password_policy import PasswordPolicy
from services.gateway.access.passwords import Passwords
from services.gateway.access.senders import Senders
from services.gateway.access.sessions import AccessControl, Rules
from services.gateway.access.shared_buckets import SharedLimiter
from services.gateway.access.signing import SigningKeys, adopt, rotate
from services.gateway.access.tokens import Tokens
from services.gateway.config import Config
from services.gateway.exports import own_sources
from services.gateway.features.access_requests.commands import note_ended_forever
from services.gateway.features.access_requests.routes import router as access_router
from services.gateway.features.approvals.commands import Approvals, note_expired_forever
from services.gateway.features.approvals.routes import router as approvals_router
from services.gateway.features.audit.routes import router as audit_router
from services.gateway.features.auth.routes import router as auth_router
from services.gateway.features.clients.commands import register_configured
from services.gateway.features.clients.routes import router as clients_router
from services.gateway.features.detection.commands import DryRuns
from services.gateway.features.detection.handlers import Judge, note_refusals
from services.gateway.features.detection.routes import router as detection_router
from services.gateway.features.detection.store import ensure_builtin
from services.gateway.features.event_types.commands import EventTypes
from services.gateway.features.event_types.routes import admin_router as catalog_router
from services.gateway.features.event_types.routes import router as asyncapi_router
from services.gateway.features.events.routes import router as events_router
from services.gateway.features.exports.commands import OwnExports
from services.gateway.features.exports.models import SOURCES, DownloadLinks
from services.gateway.features.exports.routes import router as exports_router
from services.gateway.features.factors.commands import SecondFactors
from services.gateway.features.factors.routes import router as factors_router
from services.gateway.features.first_admin.commands import ensure_first_admin
from services.gateway.features.idempotency.commands import IdempotencyKeys
from services.gateway.features.lifecycle.commands import finish_erasures
from services.gateway.features.lifecycle.routes import router as lifecycle_router
from services.gateway.features.links.commands import Links
from services.gateway.features.log.routes import LOG_PREFIX, log_router, text_shape
from services.gateway.features.notices.commands import Notices
from services.gateway.features.notifications.routes import router as notifications_router
from services.gateway.features.oauth.routes import ERROR_PREFIX, oauth_shape, well_known_router
from services.gateway.features.oauth.routes import router as oauth_router
from services.gateway.features.oidc.commands import SignInElsewhere
from services.gateway.features.oidc.routes import router as oidc_router
from services.gateway.features.operations.commands import Operations
from services.gateway.features.operations.handlers import complete_operations
from services.gateway.features.operations.routes import router as operations_router
from services.gateway.features.passwords.commands import answer_requests_forever
from services.gateway.features.passwords.routes import router as passwords_router
from services.gateway.features.passwords.routes import users_router as activation_router
from services.gateway.features.promotions.commands import kinds as promotions
from services.gateway.features.quarantine.routes import router as quarantine_router
from services.gateway.features.redactions.routes import router as redactions_router
from services.gateway.features.retention.routes import router as retention_router
from services.gateway.features.roles.routes import router as roles_router
from services.gateway.features.saved_searches.routes import router as saved_searches_router
from services.gateway.features.security.commands import lift_ip_rules
from services.gateway.features.security.routes import router as security_router
from services.gateway.features.security_events.commands import tell_forever
from services.gateway.features.security_events.routes import router as security_events_router
from services.gateway.features.sessions.commands import session_sweep
from services.gateway.features.sessions.routes import router as sessions_router
from services.gateway.features.settings.commands import SettingCommands
from services.gateway.features.settings.routes import public_router as public_settings_router
from services.gateway.features.settings.routes import router as settings_router
from services.gateway.features.sinks.commands import SinkCommands
from services.gateway.features.sinks.routes import router as sinks_router
from services.gateway.features.stream.routes import router as stream_router
from services.gateway.features.system.health import HealthBoard
from services.gateway.features.system.routes import router as system_router
from services.gateway.features.user_bulk.routes import router as user_bulk_router
from services.gateway.features.users.routes import router as users_router
from services.gateway.journal import Journal
from services.gateway.recorder import Recorder
from services.gateway.store import write_units
from services.gateway.stream.access_events import TYPES, AccessEvents
from services.gateway.stream.hub import Hub
from services.gateway.stream.ticker import metrics_ticker
from services.gateway.upstream.client import Carrier, Upstream
from services.gateway.upstream.http import HttpCarrier
from services.gateway.upstream.inprocess import InProcessCarrier
from services.gateway.upstream.own import WithOwn

NAME = "gateway"
VERSION = "0.1.0"
TOKENS_KEY = "tokens.key"
EXPORTS_KEY = "gateway.exports.key"
SPEAKS_AS = "/reeve/gateway"
OPENAPI_URL = "/api/v1/openapi.json"
DOCS_URL = "/api/v1/docs"
FACTOR_ISSUER = "Reeve"
"""What an authenticator application shows beside the account."""
OIDC_CALLBACK = "/api/v1/admin/auth/oidc/callback"
OBSERVING = "PERMISSIONS ARE NOT ENFORCED: what an administrator lacks is recorded and let through"

log = logs.get("gateway")


async def start(config: Config) -> Service:
    """The gateway in a process of its own: connects, makes the first administrator, registers configured clients."""
    database = open_database(config, NAME)
    transport = await open_transport(config, NAME)
    urls = {"settings": config.settings_url, "audit": config.audit_url, "notifications": config.notifications_url}
    carrier = HttpCarrier({name: str(url).rstrip("/") for name, url in urls.items()})
    service = build(config, database=database, transport=transport, carrier=carrier)
    await prepare(service, config)
    return service


async def prepare(service: Service, config: Config) -> str | None:
    """Make the first super admin and the built-in detection rules, register the configured clients, and take the key file
    among the signing keys.

    A generated password is returned once.
    """
    access: AccessControl = service.app.state.access
    await adopt(access.database, _locker(config), load_or_create_ed25519(config.keys / TOKENS_KEY))
    keys: SigningKeys = service.app.state.signing_keys
    await keys.load()
    password = config.admin_password.get_secret_value() if config.admin_password else None
    generated = await ensure_first_admin(
        access.database, config.admin_email, password, hasher=access.passwords, policy=access.password_policy
    )
    await register_configured(access.database, access.passwords, config.clients)
    async with access.database.transaction() as session:
        await ensure_builtin(session)
        await finish_erasures(session, secret=access.rules.cursor_secret)
    return generated


async def clear_ip_rules(config: Config) -> None:
    """Lift every rule about addresses; running gateways learn of it within seconds."""
    database = open_database(config, NAME)
    try:
        async with database.transaction() as session:
            await lift_ip_rules(session)
    finally:
        await database.close()


def build(config: Config, *, database: Database, transport: Transport, carrier: Carrier) -> Service:
    """Wire the gateway; nothing runs before the service's tasks do."""
    if config.enforcement == "observe":
        # An error and no warning: it is to be seen at every level of logging, and a person must act.
        log.error(OBSERVING, variable="REEVE_ENFORCEMENT")
    egress = Egress(config.egress_allow)
    issuers = TrustedIssuers(config.trusted_issuers, egress)
    breach_egress = Egress(config.egress_allow, seconds=breaches.CALL_SECONDS, most_bytes=breaches.MOST_ANSWER_BYTES)
    access = AccessControl(
        database,
        tokens=Tokens(load_or_create_ed25519(config.keys / TOKENS_KEY), issuer=config.issuer),
        limits=new_limits(caller=config.rate_limit, login=config.login_rate_limit, limiter=_limiter(config)),
        passwords=Passwords(),
        rules=Rules(
            cursor_secret=_cursor_secret(config),
            lifetimes=Lifetimes(idle_seconds=config.session_timeout, absolute_seconds=config.session_absolute_timeout),
            observes=config.enforcement == "observe",
            trusted_proxies=config.trusted_proxies,
            browser_origins=config.browser_origins,
        ),
        outsiders=Outsiders(database, issuers, secret=_cursor_secret(config)) if config.trusted_issuers else None,
        password_policy=PasswordPolicy(_breach_lists(config, breach_egress)),
    )
    journal = Journal(GroupCommit(database, write_units, begins=False))
    client = CommandClient(transport)
    senders = Senders(database)
    idempotency = IdempotencyKeys(database, load_or_create_secret(config.keys / "gateway.idempotency"))
    hub = Hub(transport)
    keys = SigningKeys(database, access.tokens, _locker(config))
    access.keys = keys
    access_events = AccessEvents(access, senders, keys, hub)
    hub.heed(TYPES, access_events.apply, access_events.forget_all)

    app = create_app(
        service=NAME,
        title="Reeve",
        version=VERSION,
        checks=readiness(database, transport, NAME),
        openapi_url=OPENAPI_URL,
        docs_url=DOCS_URL,
        public=True,
        error_shapes={ERROR_PREFIX: oauth_shape, LOG_PREFIX: text_shape},
    )
    app.add_middleware(Recorder, journal=journal, keys=idempotency)
    state = app.state
    state.database = database
    state.journal = journal
    state.senders = senders
    state.links = links = Links(_sealing_key(config, "notifications.key"), public_url=config.issuer)
    state.approvals = Approvals(promotions(links), waits_seconds=config.approval_timeout)
    state.factors = SecondFactors(load_or_create_secret(config.keys / "gateway.factors"), issuer=FACTOR_ISSUER)
    state.idempotency = idempotency
    state.hub = hub
    state.upstream, state.own_exports, worker = _exports(config, database, carrier)
    state.dry_runs = DryRuns(database)
    state.operations = Operations(journal, client)
    state.sink_commands = SinkCommands(_sealing_key(config, "audit.sealing.key"))
    state.setting_commands = SettingCommands(_sealing_key(config, "settings.key"))
    state.signing_keys = keys
    state.oidc = oidc = _sign_in_elsewhere(config, egress, access)
    state.health = HealthBoard(database=database, transport=transport, carrier=carrier, data_dir=config.data_dir)
    state.download_links = DownloadLinks(access.rules.cursor_secret)
    state.event_types = _event_types(database, hub)
    for prefix, router in _routes(config):
        app.include_router(router, prefix=prefix)
    install(app, access, open_paths=(OPENAPI_URL, DOCS_URL))

    async def resolve(arrived: Sequence[Arrived]) -> None:
        for one in arrived:
            client.resolve(one.event)

    outcomes = Subscriber(database, transport, GATEWAY_OUTCOMES, handle=_take_in, catalog=CATALOG, after=resolve)
    state.consumers = (outcomes,)
    relay = Relay(database, transport, producer=NAME)

    async def close() -> None:
        await carrier.close()
        await egress.close()
        await breach_egress.close()
        access.close()
        await transport.close()

    return Service(
        name=NAME,
        app=app,
        tasks=(
            journal.run, relay.run, outcomes.run, client.run, hub.run, idempotency.prune_forever,
            keys.run, session_sweep(database, access.rules.lifetimes), partial(note_ended_forever, database),
            partial(note_expired_forever, database), partial(_notices(config).tell_forever, database),
            partial(answer_requests_forever, database, links),
            metrics_ticker(hub, database), issuers.run, Judge(database).run, partial(tell_forever, database, state.upstream),
            worker.run,
            *([oidc.party.issuer.run] if oidc is not None else []),
        ),
        database=database,
        close=close,
    )  # fmt: skip


async def _take_in(session: Session, arrived: Sequence[Arrived]) -> None:
    await complete_operations(session, arrived)
    await note_refusals(session, arrived)


def _event_types(database: Database, hub: Hub) -> EventTypes:
    """What is known of registered types, read again when one changes."""
    found = EventTypes(database, partial(asyncapi.document, CATALOG, version=VERSION, exchange=EVENTS))
    hub.heed(CHANGES, lambda _: found.evict(), found.evict)
    return found


def _cursor_secret(config: Config) -> bytes:
    return load_or_create_secret(config.keys / "gateway.cursors")


def _notices(config: Config) -> Notices:
    # Where the console is that has the page of sessions, only its operator knows.
    public_url = config.issuer if config.public_url is not None else None
    return Notices(_sealing_key(config, "notifications.key"), public_url=public_url)


def _breach_lists(config: Config, egress: Egress) -> list[BreachList]:
    lists: list[BreachList] = []
    if config.breach_list_file is not None:
        lists.append(FileList(config.breach_list_file))
    if config.breach_list_url is not None:
        lists.append(RangeList(config.breach_list_url, egress))
    return lists


def _limiter(config: Config) -> Limiter:
    url = config.rate_limit_url
    return SharedLimiter(url.get_secret_value()) if url is not None else TokenBucketRateLimiter(MemoryBuckets())


async def rotate_keys(config: Config, *, revokes: bool) -> str:
    """A new key for access tokens, which every running gateway learns of; says which, and from when on it signs."""
    database = open_database(config, NAME)
    try:
        kid, signs_from = await rotate(database, _locker(config), now=datetime.now(UTC), revokes=revokes)
    finally:
        await database.close()
    return f"{kid} signs from {signs_from:%Y-%m-%dT%H:%M:%SZ} on"


def _sealing_key(config: Config, name: str) -> bytes:
    """What is for the service of this key file alone is sealed to this."""
    return load_x25519_public(public_path(config.keys / name))


def _locker(config: Config) -> Locker:
    return Locker(load_or_create_secret(config.keys / "gateway.signing"))


def _sign_in_elsewhere(config: Config, egress: Egress, access: AccessControl) -> SignInElsewhere | None:
    if config.oidc_issuer is None or config.oidc_client_id is None:
        return None
    origins = frozenset(origin_of(url) for url in (config.oidc_issuer, *config.oidc_origins))
    registration = Registration(
        client_id=config.oidc_client_id,
        client_secret=config.oidc_client_secret,
        redirect_uri=f"{config.issuer}{OIDC_CALLBACK}",
    )
    party = RelyingParty(Issuer(config.oidc_issuer, origins=origins, egress=egress), egress, registration)
    return SignInElsewhere(
        party, access.rules.cursor_secret, role_claim=config.oidc_role_claim, role_map=config.oidc_role_map or {}
    )


def _exports(config: Config, database: Database, carrier: Carrier) -> tuple[Upstream, OwnExports, ExportWorker]:
    """Reads of the services and of the gateway's own exports, which answer as a service's do; and who writes those."""
    signing, sources = load_or_create_ed25519(config.keys / "gateway.key"), own_sources()
    folder, signer = config.exports / NAME, ManifestSigner(load_or_create_ed25519(config.keys / EXPORTS_KEY))
    app = create_app(
        service=NAME, title="Reeve gateway", version=VERSION, checks={},
        assertions=AssertionVerifier(signing.public_key(), NAME),
    )  # fmt: skip
    for one in SOURCES:
        if one.name in sources:
            own = exports_of(
                database, service=NAME, source=one.name, permission=one.permission, folder=folder, signer=signer
            )
            app.include_router(own)
    policy = Policy(
        most_rows=config.exports_most_rows,
        most_bytes=config.exports_most_mib * 1024 * 1024,
        most_seconds=config.exports_most_seconds,
        kept_hours=config.exports_kept_hours,
    )
    return (
        Upstream(WithOwn(carrier, NAME, InProcessCarrier({NAME: app})), AssertionMinter(signing)),
        OwnExports(database, ExportCommands(sources, speaks_as=SPEAKS_AS)),
        ExportWorker(database, sources, folder=folder, policy=policy, signer=signer, speaks_as=SPEAKS_AS),
    )


def _routes(config: Config) -> Iterator[tuple[str, APIRouter]]:
    """Every router and what its paths begin with, for the application itself: FastAPI makes a route anew at each level
    that it is included at, and three levels took a third of a start."""
    for router in (
        settings_router, audit_router, notifications_router, operations_router, auth_router, factors_router, oidc_router,
        passwords_router, users_router, activation_router, user_bulk_router, lifecycle_router, clients_router,
        sessions_router, roles_router, access_router, approvals_router, security_router, detection_router, security_events_router,
        system_router, catalog_router, stream_router, exports_router, saved_searches_router,
        redactions_router, quarantine_router, retention_router, sinks_router,
    ):  # fmt: skip
        yield "/api/v1/admin", router
    log = log_router(is_public=config.audit_log_public)
    for router in (events_router, asyncapi_router, public_settings_router, oauth_router, log):
        yield "/api/v1", router
    yield "", well_known_router
