"""Migrations: bring one service's schema to the revision that its code was written for."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import cache, partial
from pathlib import Path

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from libs.common.database.engine import CONNECT_SECONDS, Database

ROOT = Path(__file__).resolve().parents[3]
LOCK_TIMEOUT_SECONDS = 2
LOCK_TRIES = 30
"""How often a migration that could not get its locks starts again, a second apart."""
TURN_SECONDS = 120.0
"""How long a start waits for another one that migrates the same schema."""

_ALEMBIC = threading.Lock()
_TAKE_TURN = text("SELECT pg_try_advisory_lock(hashtextextended(:name, 0))")


async def migrate(
    owner_url: str,
    *,
    service: str,
    role_prefix: str = "reeve",
    revision: str = "head",
    versions: Path | None = None,
) -> None:
    """Upgrade `service`'s schema to `revision`, as the role that owns it. Doing it again changes nothing.

    Starts that collide take turns. A revision that cannot get its locks within two seconds lets traffic pass and
    tries again; each revision is one transaction. `versions` is where revisions are found, if not in the service.
    """
    await _run(owner_url, _config(service, role_prefix, versions), command.upgrade, revision)


async def downgrade(
    owner_url: str,
    *,
    service: str,
    role_prefix: str = "reeve",
    revision: str = "base",
    versions: Path | None = None,
) -> None:
    """Go back to an older `revision`, losing what the newer ones hold."""
    await _run(owner_url, _config(service, role_prefix, versions), command.downgrade, revision)


async def is_current(database: Database, service: str, *, versions: Path | None = None) -> bool:
    """Whether the schema has the newest revision that this code knows, as the service's own role sees it."""
    heads = _heads(service, versions)
    async with database.reading() as session:
        known = await session.execute(text("SELECT to_regclass('alembic_version') IS NOT NULL"))
        if not known.scalar_one():
            return False
        rows = await session.execute(text("SELECT version_num FROM alembic_version"))
        return set(rows.scalars()) == heads


@cache
def _heads(service: str, versions: Path | None) -> frozenset[str]:
    return frozenset(ScriptDirectory.from_config(_config(service, "", versions)).get_heads())


async def _run(owner_url: str, config: Config, step: Callable[[Config, str], None], revision: str) -> None:
    for left in reversed(range(LOCK_TRIES)):
        try:
            async with _turn(owner_url, config.attributes["schema"]) as connection, _alone_in_process():
                await connection.run_sync(_step, config, step, revision)
            return
        except DBAPIError as error:
            if left == 0 or not _is_lock_failure(error):
                raise
            await asyncio.sleep(1)


@asynccontextmanager
async def _alone_in_process() -> AsyncIterator[None]:
    """Wait until no other schema migrates here: Alembic keeps what it works on in variables of its modules."""
    while not _ALEMBIC.acquire(blocking=False):
        await asyncio.sleep(0.02)
    try:
        yield
    finally:
        _ALEMBIC.release()


def _step(connection: Connection, config: Config, step: Callable[[Config, str], None], revision: str) -> None:
    config.attributes["connection"] = connection
    step(config, revision)


@asynccontextmanager
async def _turn(owner_url: str, service: str) -> AsyncIterator[AsyncConnection]:
    """A connection that is alone in migrating this schema for as long as it lives."""
    engine = create_async_engine(
        "postgresql+asyncpg://", poolclass=NullPool, async_creator=partial(_connect, owner_url, service)
    )
    try:
        async with engine.connect() as connection, asyncio.timeout(TURN_SECONDS) as limit:
            while not await connection.scalar(_TAKE_TURN, {"name": f"reeve.migrate.{service}"}):
                await connection.rollback()
                await asyncio.sleep(0.1)
            limit.reschedule(None)
            await connection.commit()
            yield connection
    finally:
        await engine.dispose()


async def _connect(owner_url: str, service: str) -> asyncpg.Connection:
    return await asyncpg.connect(
        owner_url,
        timeout=CONNECT_SECONDS,
        server_settings={
            "application_name": f"reeve-migrate-{service}",
            "search_path": service,
            "lock_timeout": f"{LOCK_TIMEOUT_SECONDS * 1000}",
        },
    )


def _config(service: str, role_prefix: str, versions: Path | None) -> Config:
    config = Config(attributes={"schema": service, "role": f"{role_prefix}_{service}"})
    versions = versions or ROOT / "services" / service / "migrations" / "versions"
    config.set_main_option("script_location", _escaped(Path(__file__).parent / "alembic"))
    config.set_main_option("version_locations", _escaped(versions))
    config.set_main_option("path_separator", "newline")
    return config


def _escaped(path: Path) -> str:
    return str(path).replace("%", "%%")


def _is_lock_failure(error: DBAPIError) -> bool:
    return getattr(error.orig, "sqlstate", None) in {"55P03", "40P01"}
