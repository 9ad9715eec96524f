"""One role per service, and what it reaches: its own schema, and there only what it was granted."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from libs.common.database.bootstrap import ROLES, SERVICES, prepare
from libs.common.database.ddl import COMMON_TABLES
from libs.common.database.migrate import migrate
from libs.common.errors import ConfigError
from tests.support.postgres import PlatformDatabase, PlatformDatabases

REVISIONS = Path(__file__).parent / "revisions"


@pytest.fixture
async def full_platform(platform_db: Callable[..., Awaitable[PlatformDatabase]]) -> PlatformDatabase:
    """All four schemas, each with the common tables."""
    made = await platform_db()
    for service in SERVICES:
        await migrate(made.urls["migrator"], service=service, role_prefix=made.role_prefix, versions=REVISIONS)
    return made


@pytest.fixture
async def admin(full_platform: PlatformDatabase) -> AsyncIterator[asyncpg.Connection]:
    """A connection of the administrator."""
    connection = await asyncpg.connect(full_platform.admin_url)
    yield connection
    await connection.close()


async def test_schemas_open_to_their_own_service_only(
    full_platform: PlatformDatabase, admin: asyncpg.Connection
) -> None:
    found = await admin.fetch(
        """
        SELECT role, schema, array_remove(ARRAY[
                 CASE WHEN has_schema_privilege(role, schema, 'USAGE') THEN 'USAGE' END,
                 CASE WHEN has_schema_privilege(role, schema, 'CREATE') THEN 'CREATE' END], NULL) AS held
        FROM unnest($1::text[]) AS role, unnest($2::text[]) AS schema
        """,
        [f"{full_platform.role_prefix}_{role}" for role in ROLES],
        [*SERVICES, "public"],
    )
    held = {
        (row["role"].removeprefix(f"{full_platform.role_prefix}_"), row["schema"]): row["held"]
        for row in found
        if row["held"]
    }
    owner = {("migrator", schema): ["USAGE", "CREATE"] for schema in SERVICES}
    assert held == {**owner, **{(service, service): ["USAGE"] for service in SERVICES}}


async def test_tables_open_to_their_own_service_only(
    full_platform: PlatformDatabase, admin: asyncpg.Connection
) -> None:
    found = await admin.fetch(
        """
        SELECT role, schemaname AS schema, tablename AS name, array_agg(privilege ORDER BY privilege) AS held
        FROM unnest($1::text[]) AS role, pg_tables,
             unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) AS privilege
        WHERE schemaname = ANY($2::text[])
          AND has_table_privilege(role, format('%I.%I', schemaname, tablename), privilege)
        GROUP BY 1, 2, 3
        """,
        [f"{full_platform.role_prefix}_{role}" for role in SERVICES],
        list(SERVICES),
    )
    held = {
        (row["role"].removeprefix(f"{full_platform.role_prefix}_"), row["schema"], row["name"]): row["held"]
        for row in found
    }
    everything = ["DELETE", "INSERT", "SELECT", "UPDATE"]
    assert held == {
        **{(service, service, table): everything for service in SERVICES for table in COMMON_TABLES},
        **{(service, service, "alembic_version"): ["SELECT"] for service in SERVICES},
    }


async def test_nothing_is_open_to_everybody(admin: asyncpg.Connection) -> None:
    granted = await admin.fetch(
        "SELECT * FROM information_schema.role_table_grants WHERE grantee = 'PUBLIC' AND table_schema = ANY($1::text[])",
        [*SERVICES, "public"],
    )
    assert granted == []
    database = await admin.fetchval("SELECT datacl::text FROM pg_database WHERE datname = current_database()")
    assert "{=" not in database
    assert ",=" not in database


async def test_roles_have_no_powers_and_belong_to_nobody(
    full_platform: PlatformDatabase, admin: asyncpg.Connection
) -> None:
    names = [f"{full_platform.role_prefix}_{role}" for role in ROLES]
    powers = await admin.fetch(
        """
        SELECT rolname FROM pg_roles
        WHERE rolname = ANY($1::text[])
          AND (rolsuper OR rolcreatedb OR rolcreaterole OR rolreplication OR rolbypassrls OR NOT rolcanlogin)
        """,
        names,
    )
    members = await admin.fetch(
        "SELECT roleid::regrole FROM pg_auth_members WHERE member::regrole::text = ANY($1::text[])", names
    )
    passwords = await admin.fetch("SELECT rolpassword FROM pg_authid WHERE rolname = ANY($1::text[])", names)
    assert (powers, members) == ([], [])
    assert all(row["rolpassword"].startswith("SCRAM-SHA-256$4096:") for row in passwords)


@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_that_tries_is_refused(full_platform: PlatformDatabase, service: str) -> None:
    database = full_platform.database(service)
    connection = await database.dedicated()
    others = [other for other in SERVICES if other != service]
    for statement in (
        *(f"SELECT * FROM {other}.outbox" for other in others),
        *(f"DELETE FROM {other}.inbox" for other in others),
        *(f"CREATE TABLE {other}.mine (id int)" for other in others),
        f"CREATE TABLE {service}.mine (id int)",
        "CREATE TABLE public.mine (id int)",
        "CREATE TEMPORARY TABLE mine (id int)",
        "CREATE SCHEMA mine",
        f"TRUNCATE {service}.outbox",
        f"DROP TABLE {service}.outbox",
        f"UPDATE {service}.alembic_version SET version_num = 'x'",
        f"SET ROLE {full_platform.role_prefix}_migrator",
        f"ALTER TABLE {service}.outbox ADD COLUMN mine int",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement)
    await connection.execute("SELECT * FROM outbox")
    await connection.close()
    await database.close()


async def test_preparing_again_and_at_once_is_harmless(
    full_platform: PlatformDatabase, platform_databases: PlatformDatabases, postgres: str
) -> None:
    again = await asyncio.gather(
        *(
            prepare(
                postgres,
                passwords=platform_databases.passwords,
                database=full_platform.name,
                role_prefix=full_platform.role_prefix,
            )
            for _ in range(4)
        )
    )
    assert all(urls == full_platform.urls for urls in again)
    database = full_platform.database("audit")
    await database.ping()
    await database.close()


async def test_an_administrator_that_is_no_superuser_is_enough(
    platform_databases: PlatformDatabases, postgres: str
) -> None:
    name = f"{platform_databases.role_prefix}_dba"
    admin = await asyncpg.connect(postgres)
    await admin.execute(f"CREATE ROLE \"{name}\" LOGIN CREATEDB CREATEROLE PASSWORD 'dba'")
    prefix = f"{platform_databases.role_prefix}x"
    url = platform_databases.url_of(name, "dba")
    try:
        for _ in range(2):
            urls = await prepare(
                url, passwords=platform_databases.passwords, database=f"{prefix}_db", role_prefix=prefix
            )
        await migrate(urls["migrator"], service="audit", role_prefix=prefix, versions=REVISIONS)
        connection = await asyncpg.connect(urls["audit"])
        assert await connection.fetchval("SELECT count(*) FROM audit.outbox") == 0
        await connection.close()
    finally:
        await admin.execute(f'DROP DATABASE IF EXISTS "{prefix}_db" WITH (FORCE)')
        for role in (*(f"{prefix}_{role}" for role in ROLES), name):
            await admin.execute(f'DROP ROLE IF EXISTS "{role}"')
        await admin.close()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("nonsense", "must be postgresql://user:password@host:port/database"),
        ("postgresql://u:hunter2@h:port/x", "must be postgresql://user:password@host:port/database"),
        ("postgresql://u:hunter2@127.0.0.1:1/x", "cannot use Postgres at 127.0.0.1:1: "),
    ],
)
async def test_a_wrong_url_is_one_line_without_its_password(url: str, said: str) -> None:
    with pytest.raises(ConfigError) as wrong:
        await prepare(url, passwords=dict.fromkeys(ROLES, "secret"))
    assert str(wrong.value).startswith(f"REEVE_DATABASE_URL: {said}")
    assert "hunter2" not in str(wrong.value)
    assert "\n" not in str(wrong.value)


async def test_a_login_that_is_refused_is_one_line(postgres: str) -> None:
    parts = urlsplit(postgres)
    host = parts.netloc.rpartition("@")[2]
    with pytest.raises(ConfigError, match=f"^REEVE_DATABASE_URL: cannot use Postgres at {host}: "):
        await prepare(
            parts._replace(netloc=f"nobody_here:hunter2@{host}").geturl(), passwords=dict.fromkeys(ROLES, "secret")
        )
