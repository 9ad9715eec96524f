"""What every service's start has in common: its pool, its broker, its keys and its readiness."""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from pydantic import SecretStr

from libs.common.assertions import AssertionVerifier
from libs.common.broker.connect import connect
from libs.common.broker.transport import Transport
from libs.common.database.engine import Database
from libs.common.database.migrate import is_current, migrate
from libs.common.errors import ConfigError, Unavailable
from libs.common.keys import load_ed25519_public
from libs.common.web.health import Check

BROKER_PATIENCE_SECONDS = 60.0
"""How long a start waits for a broker that starts at the same time."""
GATEWAY_PUBLIC_KEY = "gateway.key.pub"


class Connections(Protocol):
    """What a service's configuration says about what it connects to."""

    @property
    def database_url(self) -> SecretStr | None: ...
    @property
    def database_connections(self) -> int: ...
    @property
    def amqp_url(self) -> SecretStr | None: ...
    @property
    def amqp_namespace(self) -> str: ...
    @property
    def amqp_declare(self) -> bool: ...


def open_database(
    config: Connections, name: str, *, pool_size: int | None = None, statement_timeout_seconds: float = 10
) -> Database:
    """The service's own pool, of `REEVE_DATABASE_CONNECTIONS` unless `pool_size` says else.

    Raises `ConfigError` when no database is configured.
    """
    if config.database_url is None:
        raise ConfigError("REEVE_DATABASE_URL: must be set")
    return Database(
        config.database_url.get_secret_value(),
        schema=name,
        application=f"reeve-{name}",
        pool_size=pool_size or config.database_connections,
        statement_timeout_seconds=statement_timeout_seconds,
    )


async def open_transport(
    config: Connections, name: str, *, patience_seconds: float = BROKER_PATIENCE_SECONDS
) -> Transport:
    """The service's own connection to the broker, waited for when it is named and not there yet."""
    return await connect(
        config.amqp_url.get_secret_value() if config.amqp_url else None,
        application=f"reeve-{name}",
        namespace=config.amqp_namespace,
        declare=config.amqp_declare,
        patience_seconds=patience_seconds,
    )


def assertion_verifier(keys: Path, audience: str) -> AssertionVerifier:
    """Verifies the gateway's assertions by its public key in the keys directory."""
    return AssertionVerifier(load_ed25519_public(keys / GATEWAY_PUBLIC_KEY), audience)


def readiness(database: Database, transport: Transport, name: str) -> Mapping[str, Check]:
    """The checks behind `/readyz`: the database answers, the broker answers, the schema is up to date."""

    async def connected() -> None:
        if not transport.is_connected:
            raise Unavailable("the broker does not answer", code="broker_unavailable")

    async def migrated() -> None:
        if not await is_current(database, name):
            raise Unavailable("the schema is not migrated", code="schema_outdated")

    return {"database": database.ping, "broker": connected, "migrations": migrated}


async def migrate_schema(config: Connections, name: str) -> None:
    """Bring a service's schema up to date; `REEVE_DATABASE_URL` must then be that of the role that owns it."""
    if config.database_url is None:
        raise ConfigError("REEVE_DATABASE_URL: must be set")
    await migrate(config.database_url.get_secret_value(), service=name)
