"""The whole platform in one process: for first use, demonstrations and single machines."""

import errno
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TypeVar

from pydantic import SecretStr
from rich.console import Console

from libs.common import logs, telemetry
from libs.common.broker.transport import Transport
from libs.common.config import (
    BrokerSettings,
    DatabaseSettings,
    DataSettings,
    HttpSettings,
    ObservabilitySettings,
    Settings,
)
from libs.common.database.embedded import EmbeddedPostgres
from libs.common.errors import ConfigError
from libs.common.start import open_database, open_transport
from libs.common.web.serve import close, run_services
from libs.common.web.service import Service
from services.audit import app as audit
from services.audit.config import Config as AuditConfig
from services.gateway import app as gateway
from services.gateway.config import Config as GatewayConfig
from services.gateway.upstream.inprocess import InProcessCarrier
from services.notifications import app as notifications
from services.notifications.config import Config as NotificationsConfig
from services.preparation import kept_passwords, make_keys, prepare_schemas
from services.settings import app as settings
from services.settings.config import Config as SettingsConfig

ConfigT = TypeVar("ConfigT", bound=Settings)


BROKER_SECONDS = 10.0
"""How long a broker that was named is waited for: somebody sits before the screen."""


class SingleConfig(HttpSettings, DataSettings, DatabaseSettings, BrokerSettings, ObservabilitySettings):
    """What one process needs to know before its services read their own variables."""


async def run() -> None:
    """Prepare what is missing, start everything, and run until Ctrl-C."""
    config, gateway_config = SingleConfig.load(), GatewayConfig.load()
    _refuse_taken_port("REEVE_PORT", config.host, config.port)
    _refuse_taken_port("REEVE_METRICS_PORT", config.metrics_host, config.metrics_port)
    logs.configure("reeve", "warning" if config.log_level == "info" else config.log_level)
    telemetry.configure("reeve", endpoint=config.otlp_endpoint, sample=config.trace_sample)
    console = Console(stderr=False, highlight=False)
    postgres = None if config.database_url else EmbeddedPostgres(config.data_dir)
    try:
        with console.status("Starting Postgres ...") as progress:
            admin_url = config.database_url.get_secret_value() if config.database_url else await _started(postgres)
            passwords = kept_passwords(config.data_dir / "database-passwords.json")
            urls = await prepare_schemas(
                admin_url, passwords, on_step=lambda step: progress.update(f"Preparing {step} ...")
            )
            make_keys(config.keys)
            progress.update("Connecting to the broker ...")
            transport = await open_transport(config, "platform", patience_seconds=BROKER_SECONDS)
            progress.update("Starting the services ...")
            services = build_services(urls, transport)
            await settings.prepare(services[1])
            generated = await gateway.prepare(services[-1], gateway_config)
        await run_services(
            services,
            listen={"gateway": (config.host, config.port)},
            metrics_address=(config.metrics_host, config.metrics_port),
            on_ready=lambda: _greet(console, config, gateway_config, transport, generated),
        )
    finally:
        if postgres is not None:
            await postgres.stop()


async def rotate_keys(*, revokes: bool) -> None:
    """A new signing key, on the same database. The embedded Postgres must not be running: it is started for this."""
    async with _prepared() as (_, urls):
        print(await gateway.rotate_keys(_of(GatewayConfig, urls["gateway"]), revokes=revokes))


async def act_with(name: str, act: Callable[[Service], Awaitable[None]]) -> None:
    """Do one thing with one of the services, composed as `run` does, on the same database, which must not be running here."""
    async with _prepared() as (config, urls):
        transport = await open_transport(config, "platform", patience_seconds=BROKER_SECONDS)
        services = build_services(urls, transport)
        try:
            await act(next(one for one in services if one.name == name))
        finally:
            for one in reversed(services):
                await close(one)


@asynccontextmanager
async def _prepared() -> AsyncIterator[tuple[SingleConfig, Mapping[str, str]]]:
    """The configuration and the URLs of the services' roles, with schemas and keys as they must be."""
    config = SingleConfig.load()
    logs.configure("reeve", "warning" if config.log_level == "info" else config.log_level)
    postgres = None if config.database_url else EmbeddedPostgres(config.data_dir)
    try:
        admin_url = config.database_url.get_secret_value() if config.database_url else await _started(postgres)
        urls = await prepare_schemas(admin_url, kept_passwords(config.data_dir / "database-passwords.json"))
        make_keys(config.keys)
        yield config, urls
    finally:
        if postgres is not None:
            await postgres.stop()


async def _started(postgres: EmbeddedPostgres | None) -> str:
    assert postgres is not None
    return await postgres.start()


def build_services(urls: Mapping[str, str], transport: Transport) -> list[Service]:
    """The four services on one transport; the gateway comes last and reads the others in this process."""
    audit_config = _of(AuditConfig, urls["audit"])
    settings_config = _of(SettingsConfig, urls["settings"])
    notifications_config = _of(NotificationsConfig, urls["notifications"])
    behind = [
        audit.build(
            audit_config, database=open_database(audit_config, "audit"), transport=transport, signs=True,
            search_database=open_database(
                audit_config, "audit", pool_size=audit.SEARCH_CONNECTIONS, statement_timeout_seconds=audit.SEARCH_SECONDS
            ),
        ),
        settings.build(settings_config, database=open_database(settings_config, "settings"), transport=transport),
        notifications.build(
            notifications_config, database=open_database(notifications_config, "notifications"), transport=transport
        ),
    ]  # fmt: skip
    carrier = InProcessCarrier({service.name: service.app for service in behind})
    config = _of(GatewayConfig, urls["gateway"])
    front = gateway.build(config, database=open_database(config, "gateway"), transport=transport, carrier=carrier)
    return [*behind, front]


def _of(kind: type[ConfigT], url: str) -> ConfigT:
    """A service's own configuration, with the URL of its own role."""
    return kind.load().model_copy(update={"database_url": SecretStr(url)})


def _refuse_taken_port(variable: str, host: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            reason = "is taken" if error.errno == errno.EADDRINUSE else str(error.strerror)
            raise ConfigError(f"{variable}: {host}:{port} {reason}; choose another port") from error


def _greet(
    console: Console, config: SingleConfig, access: GatewayConfig, transport: Transport, generated: str | None
) -> None:
    """What somebody who just started needs; a generated password is shown this once."""
    say: Callable[[str], None] = console.print
    say(f"[bold]Reeve is ready[/bold] at http://{config.host}:{config.port}")
    say(f"  documentation  http://{config.host}:{config.port}{gateway.DOCS_URL}")
    say(f"  metrics        http://{config.metrics_host}:{config.metrics_port}/metrics")
    say(f"  sign in as     {access.admin_email}")
    if generated is not None:
        say(f"  password       {generated}   (shown this once)")
    else:
        say("  password       as shown, or given in REEVE_ADMIN_PASSWORD, at the first start")
    where = (
        "as configured in REEVE_DATABASE_URL"
        if config.database_url
        else f"embedded Postgres in {config.data_dir}/postgres"
    )
    say(f"  database       {where}")
    say(f"  broker         {'RabbitMQ' if transport.kind == 'rabbitmq' else 'in this process (no RabbitMQ)'}")
    if access.enforcement == "observe":
        say(f"[bold red]{gateway.OBSERVING}[/bold red] (REEVE_ENFORCEMENT=observe)")
    say("Press Ctrl-C to stop.")
