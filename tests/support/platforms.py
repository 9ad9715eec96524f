"""Puts a platform together: four processes on a prepared database and a broker namespace, or one process."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from libs.common.ids import new_id
from services.preparation import make_keys
from tests.support.postgres import PlatformDatabase, PlatformDatabases
from tests.support.processes import SERVICES, Launcher, Platform, Program, clean_environment, free_port
from tests.support.rabbitmq import remove_namespace

EMAIL = "admin@example.com"
PASSWORD = "correct-Horse-7-battery-staple"
CLIENT = {
    "client_id": "shop", "client_secret": "a-secret-of-the-shop", "name": "Shop", "source": "/platform/shop",
    "scopes": ["events:publish"], "event_types": ["com.shop.*", "platform.*"],
}  # fmt: skip
SECOND_GATEWAY = "gateway-2"
CONNECTIONS = {"REEVE_DATABASE_CONNECTIONS": "2"}
"""Several platforms under test share the 100 connections of a usual Postgres."""


@asynccontextmanager
async def running_services(
    folder: Path,
    *,
    databases: PlatformDatabases,
    amqp_url: str,
    launcher: Launcher,
    gateways: int = 1,
    extra: Mapping[str, str] | None = None,
) -> AsyncIterator[Platform]:
    """`four_services` on a fresh database, running; leaves nothing behind in Postgres and RabbitMQ."""
    database = await databases.make(*SERVICES)
    made = four_services(
        folder, database=database, amqp_url=amqp_url, launcher=launcher, gateways=gateways, extra=extra
    )
    try:
        await made.start()
        yield made
    finally:
        await made.end()
        await remove_namespace(amqp_url, made.namespace)
        await databases.give_back(database)


def four_services(
    folder: Path,
    *,
    database: PlatformDatabase,
    amqp_url: str,
    launcher: Launcher,
    gateways: int = 1,
    extra: Mapping[str, str] | None = None,
) -> Platform:
    """Four services as processes of their own, not started yet; more gateways share everything with the first."""
    keys = folder / "keys"
    make_keys(keys)
    namespace = f"test-{new_id()[-12:]}"
    ports = {name: free_port() for name in SERVICES}
    shared = {
        **clean_environment(),
        **_access(),
        **CONNECTIONS,
        "REEVE_KEYS_DIR": str(keys),
        "REEVE_DATA_DIR": str(folder),
        "REEVE_AMQP_URL": amqp_url,
        "REEVE_AMQP_NAMESPACE": namespace,
        "REEVE_PUBLIC_URL": f"http://127.0.0.1:{ports['gateway']}",
        **{f"REEVE_{name.upper()}_URL": f"http://127.0.0.1:{ports[name]}" for name in SERVICES if name != "gateway"},
        **(extra or {}),
    }
    programs = {}
    for name in (*SERVICES, *[f"gateway-{number}" for number in range(2, gateways + 1)]):
        service = name.partition("-")[0]
        port = ports.get(name) or free_port()
        own = {"REEVE_PORT": str(port), "REEVE_METRICS_PORT": str(free_port())}
        programs[name] = Program(
            name=name, module=f"services.{service}", arguments=["serve"], launcher=launcher, port=port,
            environment={**shared, **own, "REEVE_DATABASE_URL": database.urls[service]}, log=folder / f"{name}.log",
        )  # fmt: skip
    return Platform(
        gateway=programs["gateway"], programs=programs, email=EMAIL, password=PASSWORD, namespace=namespace,
        amqp_url=amqp_url, folder=folder, admin_database=database.admin_url, environment=shared,
    )  # fmt: skip


def single_process(folder: Path, *, launcher: Launcher, **extra: str) -> Program:
    """The whole platform in one process: on its own Postgres and the in-process transport unless `extra` says else."""
    port = free_port()
    environment = {
        **clean_environment(), **_access(), **CONNECTIONS, "REEVE_DATA_DIR": str(folder), "REEVE_AMQP_URL": "embedded",
        "REEVE_PORT": str(port), "REEVE_METRICS_PORT": str(free_port()), **extra,
    }  # fmt: skip
    return Program(
        name="reeve", module="services", arguments=["run"], environment=environment, port=port,
        log=folder / "run.log", launcher=launcher,
    )  # fmt: skip


def _access() -> dict[str, str]:
    return {
        "REEVE_ADMIN_EMAIL": EMAIL,
        "REEVE_ADMIN_PASSWORD": PASSWORD,
        "REEVE_CLIENTS": json.dumps([CLIENT]),
        "REEVE_RATE_LIMIT": "1000000/minute",
        "REEVE_LOGIN_RATE_LIMIT": "10000/minute",
    }
