"""The first preparation of a Postgres: one database, one schema per service, and roles that reach nothing else."""

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from urllib.parse import quote, urlsplit, urlunsplit

import asyncpg

from libs.common.errors import ConfigError

SERVICES = ("gateway", "audit", "settings", "notifications")
MIGRATOR = "migrator"
ROLES = (MIGRATOR, *SERVICES)

_NAME = re.compile(r"[a-z][a-z0-9_]{0,40}")
_SCRAM_ITERATIONS = 4096


async def prepare(
    admin_url: str, *, passwords: Mapping[str, str], database: str = "reeve", role_prefix: str = "reeve"
) -> Mapping[str, str]:
    """Make, or bring into order, the database, its roles and its schemas; returns the URL of each role's name.

    `passwords` has one of printable ASCII for each of `ROLES`. They leave this process only as SCRAM verifiers
    (RFC 5803), so that no log of statements can hold them. Repeating this sets the passwords anew and harms nothing.
    """
    check(passwords, database, role_prefix)
    names = {role: f"{role_prefix}_{role}" for role in ROLES}
    admin = await _connect(admin_url)
    try:
        # Roles and databases are the cluster's: two preparations at once would trip over each other.
        await admin.execute("SELECT pg_advisory_lock(hashtextextended('reeve.bootstrap', 0))")
        for role, name in names.items():
            await _prepare_role(admin, name, passwords[role])
        await _prepare_database(admin, database, names)
    finally:
        await admin.close()
    inside = await _connect(_with(admin_url, database=database))
    try:
        async with inside.transaction():
            await inside.execute("SELECT pg_advisory_xact_lock(hashtextextended('reeve.bootstrap', 0))")
            await _prepare_schemas(inside, names)
    finally:
        await inside.close()
    return {
        role: _with(admin_url, database=database, user=name, password=passwords[role]) for role, name in names.items()
    }


def scram_verifier(password: str, *, salt: bytes) -> str:
    """What Postgres stores of a password: `SCRAM-SHA-256$<iterations>:<salt>$<stored key>:<server key>` (RFC 5803)."""
    salted = hashlib.pbkdf2_hmac("sha256", password.encode("ascii"), salt, _SCRAM_ITERATIONS)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    salt_text, stored_text, server_text = (base64.b64encode(part).decode() for part in (salt, stored, server))
    return f"SCRAM-SHA-256${_SCRAM_ITERATIONS}:{salt_text}${stored_text}:{server_text}"


def check(passwords: Mapping[str, str], database: str, role_prefix: str) -> None:
    """Raise `ConfigError` for a name or a password that cannot be used; no password is repeated in it."""
    for label, name in (("database", database), ("role prefix", role_prefix)):
        if not _NAME.fullmatch(name):
            raise ConfigError(f"{label} must match {_NAME.pattern}, got {name[:60]!r}")
    for role in ROLES:
        password = passwords.get(role, "")
        if not (password and password.isascii() and password.isprintable()):
            raise ConfigError(f"the password of the database role {role} must be printable ASCII and not empty")


async def _connect(url: str) -> asyncpg.Connection:
    """Connect as the administrator. What is wrong with the URL, or with who answers there, is a `ConfigError`."""
    try:
        return await asyncpg.connect(url, timeout=10)
    except (ValueError, asyncpg.InterfaceError):
        raise ConfigError("REEVE_DATABASE_URL: must be postgresql://user:password@host:port/database") from None
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        reason = (str(error) or "no answer within 10 s").partition("\n")[0]
        address = urlsplit(url).netloc.rpartition("@")[2][:100]
        raise ConfigError(f"REEVE_DATABASE_URL: cannot use Postgres at {address}: {reason}") from None


async def _prepare_role(admin: asyncpg.Connection, name: str, password: str) -> None:
    if not await admin.fetchval("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)", name):
        await admin.execute(f'CREATE ROLE "{name}"')
    verifier = scram_verifier(password, salt=secrets.token_bytes(16))
    await admin.execute(
        f'ALTER ROLE "{name}" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOINHERIT NOREPLICATION NOBYPASSRLS'
        f" PASSWORD '{verifier}'"
        if await _is_superuser(admin)
        else f"ALTER ROLE \"{name}\" LOGIN NOCREATEDB NOCREATEROLE NOINHERIT PASSWORD '{verifier}'"
    )


async def _prepare_database(admin: asyncpg.Connection, database: str, names: Mapping[str, str]) -> None:
    if not await admin.fetchval("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", database):
        await admin.execute(f"CREATE DATABASE \"{database}\" TEMPLATE template0 ENCODING 'UTF8' {_locale(admin)}")
    everyone = ", ".join(f'"{name}"' for name in names.values())
    await admin.execute(f'REVOKE ALL ON DATABASE "{database}" FROM PUBLIC')
    await admin.execute(f'GRANT CONNECT ON DATABASE "{database}" TO {everyone}')


def _locale(admin: asyncpg.Connection) -> str:
    """Text sorts by code point everywhere: no update of an operating system can then upset an index."""
    if admin.get_server_version().major >= 17:
        return "LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8' LC_COLLATE 'C' LC_CTYPE 'C'"
    return "LC_COLLATE 'C'"


async def _prepare_schemas(inside: asyncpg.Connection, names: Mapping[str, str]) -> None:
    migrator = names[MIGRATOR]
    if not await _is_superuser(inside):
        # Without being superuser, only a member may make something that belongs to the role.
        await inside.execute(f'GRANT "{migrator}" TO CURRENT_USER')
    await inside.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
    for service in SERVICES:
        await inside.execute(f'CREATE SCHEMA IF NOT EXISTS "{service}" AUTHORIZATION "{migrator}"')
        await inside.execute(f'REVOKE ALL ON SCHEMA "{service}" FROM PUBLIC')
        await inside.execute(f'GRANT USAGE ON SCHEMA "{service}" TO "{names[service]}"')
    # Functions are the one kind of object that everybody may use unless told otherwise.
    await inside.execute(f'ALTER DEFAULT PRIVILEGES FOR ROLE "{migrator}" REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC')


async def _is_superuser(connection: asyncpg.Connection) -> bool:
    return bool(await connection.fetchval("SELECT rolsuper FROM pg_roles WHERE rolname = current_user"))


def _with(url: str, *, database: str, user: str | None = None, password: str | None = None) -> str:
    """`url` with another database and, if given, another login; address and parameters stay."""
    parts = urlsplit(url)
    login, at, address = parts.netloc.rpartition("@")
    if user is not None:
        login, at = f"{quote(user, safe='')}:{quote(password or '', safe='')}", "@"
    return urlunsplit(parts._replace(netloc=f"{login}{at}{address}", path=f"/{quote(database, safe='')}"))
