"""Brings a Postgres and a keys directory into the order that the services need."""

import json
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path

from pydantic import SecretStr

from libs.common.config import DataSettings, Settings
from libs.common.database.bootstrap import ROLES, SERVICES
from libs.common.database.bootstrap import prepare as prepare_database
from libs.common.database.migrate import migrate
from libs.common.errors import ConfigError
from libs.common.keys import load_or_create_ed25519, load_or_create_secret, load_or_create_x25519

SECRET_FILES = (
    "gateway.cursors",
    "gateway.factors",
    "gateway.idempotency",
    "gateway.signing",
    "audit.cursors",
    "audit.sinks",
    "settings.cursors",
    "notifications.cursors",
    "settings.kek",
)


class Passwords(Settings):
    """The database roles' passwords in containers: `REEVE_DB_PASSWORD_<ROLE>`."""

    db_password_migrator: SecretStr
    db_password_gateway: SecretStr
    db_password_audit: SecretStr
    db_password_settings: SecretStr
    db_password_notifications: SecretStr

    def by_role(self) -> Mapping[str, str]:
        """Each role's password in clear."""
        return {role: getattr(self, f"db_password_{role}").get_secret_value() for role in ROLES}


class ContainerSettings(DataSettings):
    """What the preparation needs to know."""

    database_url: SecretStr


async def prepare_for_containers() -> None:
    """Roles, schemas and migrations by an administrator's URL; key files in the keys directory."""
    settings = ContainerSettings.load()
    await prepare_schemas(settings.database_url.get_secret_value(), Passwords.load().by_role())
    make_keys(settings.keys)


async def prepare_schemas(
    admin_url: str, passwords: Mapping[str, str], *, on_step: Callable[[str], None] = lambda step: None
) -> Mapping[str, str]:
    """Make roles and schemas and migrate all four; returns the URL of each role."""
    on_step("roles and schemas")
    urls = await prepare_database(admin_url, passwords=passwords)
    for service in SERVICES:
        on_step(f"schema {service}")
        await migrate(urls["migrator"], service=service)
    return urls


def make_keys(keys: Path) -> None:
    """Every key file that is not there yet; those that are stay as they are."""
    load_or_create_ed25519(keys / "gateway.key")
    load_or_create_ed25519(keys / "tokens.key")
    load_or_create_ed25519(keys / "audit-log.key")
    load_or_create_ed25519(keys / "audit.exports.key")
    load_or_create_ed25519(keys / "audit.receipts.key")
    load_or_create_ed25519(keys / "gateway.exports.key")
    load_or_create_x25519(keys / "settings.key")
    load_or_create_x25519(keys / "notifications.key")
    load_or_create_x25519(keys / "audit.sealing.key")
    for name in SECRET_FILES:
        load_or_create_secret(keys / name)


def kept_passwords(path: Path) -> Mapping[str, str]:
    """The roles' passwords of a single machine, made once and kept in a file that only its owner reads."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        made = json.dumps({role: secrets.token_urlsafe(24) for role in ROLES})
        path.touch(mode=0o600)
        path.write_text(made, encoding="utf-8")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(f"{path}: is not readable as JSON; delete it to have new passwords made") from error
    return {role: str(found[role]) for role in ROLES}
