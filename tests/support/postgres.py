"""A real Postgres for tests, and fresh databases in it that look as the platform's does."""

import asyncio
import os
import secrets
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from libs.common.database.bootstrap import ROLES, prepare
from libs.common.database.embedded import EmbeddedPostgres
from libs.common.database.engine import Database
from libs.common.database.migrate import migrate
from tests.support.docker import engine_answers
from tests.support.restored import Original

LOCAL = "postgresql://postgres@127.0.0.1:5432/postgres"
IMAGE = "postgres:17-alpine"
MOST_LEFTOVER = 8


@asynccontextmanager
async def found_postgres(local: str = LOCAL) -> AsyncIterator[str]:
    """The URL of a role that may create databases and roles: configured, in a container, local, or embedded."""
    configured = os.environ.get("REEVE_TEST_DATABASE_URL")
    if configured:
        yield configured
    elif engine_answers():
        async with _container() as url:
            yield url
    elif await _is_administrator(local):
        yield local
    else:
        async with _embedded() as url:
            yield url


@dataclass(frozen=True, slots=True)
class PlatformDatabase:
    """One database with the platform's schemas; `urls` are those of its roles, `admin_url` reaches everything."""

    name: str
    role_prefix: str
    admin_url: str
    urls: Mapping[str, str]
    template: frozenset[str] = frozenset()
    migrated: set[str] = field(default_factory=set)

    async def migrate(self, *services: str) -> None:
        """Bring the schemas of these services up to date; those not named stay empty."""
        for service in services:
            if service not in self.migrated:
                await migrate(self.urls["migrator"], service=service, role_prefix=self.role_prefix)
                self.migrated.add(service)

    def database(self, service: str, *, pool_size: int = 10, statement_timeout_seconds: float = 10) -> Database:
        """A pool of the service's own role. Whoever asks closes it."""
        return Database(
            self.urls[service],
            schema=service,
            application=f"test-{service}",
            pool_size=pool_size,
            statement_timeout_seconds=statement_timeout_seconds,
        )


class PlatformDatabases:
    """Makes platform databases on one Postgres, all with the roles of one prefix, by copying migrated templates.

    A database that is given back is handed out again as good as new, or dropped where that cannot be had. With
    `waits_for_disk=False` a commit is answered before it is on the disk, which only the crash of Postgres itself can tell:
    it takes a twentieth of the time.
    """

    def __init__(self, admin_url: str, *, waits_for_disk: bool = True) -> None:
        self._admin_url = admin_url
        self._settings = "" if waits_for_disk else "SET synchronous_commit = off"
        self.role_prefix = f"reeve_t{secrets.token_hex(4)}"
        self.passwords = {role: secrets.token_hex(8) for role in ROLES}
        self._templates: dict[frozenset[str], _Template] = {}
        self._leftover: list[str] = []

    async def make(self, *services: str) -> PlatformDatabase:
        """A database of its own, with the schemas of `services` migrated."""
        template = await self._template(frozenset(services))
        name = template.spare.pop() if template.spare else await self._copy(template.made.name)
        return PlatformDatabase(
            name=name,
            role_prefix=self.role_prefix,
            admin_url=_renamed(self._admin_url, name),
            urls={role: _renamed(url, name) for role, url in template.made.urls.items()},
            template=template.services,
            migrated=set(services),
        )

    async def give_back(self, database: PlatformDatabase) -> None:
        """Take the database from whoever is still connected."""
        template = self._templates[database.template]
        if template.original and await template.original.restore(database.admin_url):
            template.spare.append(database.name)
            return
        # A few at a time: each waits for a checkpoint, and they can share one.
        self._leftover.append(database.name)
        if len(self._leftover) >= MOST_LEFTOVER:
            await self._drop_leftover()

    async def close(self) -> None:
        """Drop what is left: databases, templates and roles."""
        for template in self._templates.values():
            self._leftover += [template.made.name, *template.spare]
        await self._drop_leftover()
        await self._execute(*(f'DROP ROLE IF EXISTS "{self.role_prefix}_{role}"' for role in ROLES))

    async def _copy(self, template: str) -> str:
        name = self._name()
        everyone = ", ".join(f'"{self.role_prefix}_{role}"' for role in ROLES)
        await self._execute(
            f'CREATE DATABASE "{name}" TEMPLATE "{template}"',
            f'REVOKE ALL ON DATABASE "{name}" FROM PUBLIC',
            f'GRANT CONNECT ON DATABASE "{name}" TO {everyone}',
        )
        await self._set_up(name)
        return name

    async def _set_up(self, name: str) -> None:
        if self._settings:
            await self._execute(f'ALTER DATABASE "{name}" {self._settings}')

    async def _drop_leftover(self) -> None:
        names, self._leftover = self._leftover, []
        await asyncio.gather(*(self._execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)') for name in names))

    def url_of(self, role: str, password: str) -> str:
        """The administrator's URL with another login."""
        parts = urlsplit(self._admin_url)
        address = parts.netloc.rpartition("@")[2]
        return urlunsplit(parts._replace(netloc=f"{role}:{password}@{address}"))

    async def _template(self, services: frozenset[str]) -> "_Template":
        if services not in self._templates:
            name = self._name()
            urls = await prepare(self._admin_url, passwords=self.passwords, database=name, role_prefix=self.role_prefix)
            await self._set_up(name)
            made = PlatformDatabase(name, self.role_prefix, _renamed(self._admin_url, name), urls, services)
            await made.migrate(*sorted(services))
            self._templates[services] = _Template(services, made, await Original.read(made.admin_url))
        return self._templates[services]

    def _name(self) -> str:
        return f"{self.role_prefix}_{secrets.token_hex(4)}"

    async def _execute(self, *statements: str) -> None:
        connection = await asyncpg.connect(self._admin_url, timeout=10)
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()


@dataclass(frozen=True, slots=True)
class _Template:
    """A database that is copied and never used, and copies that nobody has at the moment."""

    services: frozenset[str]
    made: PlatformDatabase
    original: Original | None
    spare: list[str] = field(default_factory=list)


def _renamed(url: str, database: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{database}"))


async def _is_administrator(url: str) -> bool:
    try:
        connection = await asyncpg.connect(url, timeout=2)
    except (OSError, asyncpg.PostgresError):
        return False
    try:
        return bool(
            await connection.fetchval(
                "SELECT rolsuper OR (rolcreatedb AND rolcreaterole) FROM pg_roles WHERE rolname = current_user"
            )
        )
    finally:
        await connection.close()


@asynccontextmanager
async def _container() -> AsyncIterator[str]:
    from testcontainers.community.postgres import PostgresContainer

    container = PostgresContainer(IMAGE, driver=None)
    await asyncio.to_thread(container.start)
    try:
        yield container.get_connection_url()
    finally:
        await asyncio.to_thread(container.stop)


@asynccontextmanager
async def _embedded() -> AsyncIterator[str]:
    with tempfile.TemporaryDirectory(prefix="reeve-test-") as folder:
        # The account that root lends the server must be able to pass.
        Path(folder).chmod(0o755)
        server = EmbeddedPostgres(Path(folder))
        url = await server.start()
        try:
            yield url
        finally:
            await server.stop()
