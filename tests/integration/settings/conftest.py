"""The settings service on a real Postgres, driven through its command handlers."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import orjson
import pytest
from nacl.public import PrivateKey

from libs.common.database import outbox
from libs.common.database.ddl import COMMON_TABLES
from libs.common.database.engine import Database
from libs.common.events.catalog import new_event
from libs.common.events.envelope import Event
from libs.common.events.settings import (
    ChangeSetting,
    CreateSetting,
    DefineSetting,
    DefinitionPatch,
    DeleteSetting,
    RollbackSetting,
    SettingDefinition,
    UpsertSetting,
)
from libs.common.identity import Origin
from libs.common.sealing import Unsealer, seal
from services.settings.handlers import command_handlers
from services.settings.secrets.keyring import Keyring, key_encryption_key
from services.settings.secrets.keys import Keys
from services.settings.secrets.vault import Vault
from tests.support.postgres import PlatformDatabase, PlatformDatabases

ADMIN = "0199a0c0-0000-7000-8000-00000000000a"
ABSENT: Any = object()

SettingCommand = CreateSetting | ChangeSetting | DefineSetting | UpsertSetting | DeleteSetting | RollbackSetting


@dataclass
class SettingsUnderTest:
    """Sends commands to the handlers, each in a transaction of its own, and looks at what they left."""

    database: Database
    keys: Keys
    admin: asyncpg.Connection
    sent: list[Event] = field(default_factory=list)

    async def send(self, data: SettingCommand) -> Event:
        """Apply one command; the outcome, or the refusal raised."""
        command = self.command(data)
        self.sent.append(command)
        async with self.database.transaction() as session:
            [outcome] = await command_handlers(self.keys)[command.type](session, [command])
            await outbox.emit(session, outcome)
            return outcome

    def command(self, data: SettingCommand) -> Event:
        """The command as the gateway sends it."""
        return new_event(
            data, subject=f"setting/{data.key}", actor_id=ADMIN, actor_type="admin", correlation_id="request-0001"
        )

    def sealed(self, value: Any) -> str | None:
        """The value sealed to the service; None for none."""
        if value is ABSENT:
            return None
        return seal(self.keys.unsealer.public_key, orjson.dumps(value))

    async def create(
        self, key: str, value: Any = ABSENT, value_type: str = "string", *, default: Any = ABSENT, **definition: Any
    ) -> Event:
        """Create a setting."""
        return await self.send(
            CreateSetting(
                key=key, definition=SettingDefinition(value_type=value_type, **definition), origin=ORIGIN,
                sealed_value=self.sealed(value), sealed_default_value=self.sealed(default),
            )
        )  # fmt: skip

    async def change(self, key: str, value: Any, *, version: int | None = None, reason: str | None = None) -> Event:
        """Set the value."""
        sealed = self.sealed(value)
        assert sealed is not None
        return await self.send(ChangeSetting(key=key, sealed_value=sealed, expected_version=version, reason=reason))

    async def define(
        self, key: str, *, default: Any = ABSENT, clear: tuple[Any, ...] = (), version: int | None = None, **patch: Any
    ) -> Event:
        """Change the definition."""
        return await self.send(
            DefineSetting(
                key=key, patch=DefinitionPatch(**patch), clear=clear, expected_version=version,
                sealed_default_value=self.sealed(default),
            )
        )  # fmt: skip

    async def upsert(
        self,
        key: str,
        value: Any = ABSENT,
        value_type: str = "string",
        *,
        version: int | None = None,
        **definition: Any,
    ) -> Event:
        """Create or replace."""
        return await self.send(
            UpsertSetting(
                key=key, definition=SettingDefinition(value_type=value_type, **definition),
                sealed_value=self.sealed(value), expected_version=version,
            )
        )  # fmt: skip

    async def delete(self, key: str, *, version: int | None = None) -> Event:
        """Delete the setting."""
        return await self.send(DeleteSetting(key=key, expected_version=version))

    async def roll_back(self, key: str, to: int, *, version: int | None = None) -> Event:
        """Go back to an earlier value."""
        return await self.send(RollbackSetting(key=key, version=to, expected_version=version))

    async def rows(self, query: str, *arguments: Any) -> list[asyncpg.Record]:
        """Rows as an administrator of the database sees them."""
        return list(await self.admin.fetch(query, *arguments))

    async def announced(self) -> list[dict[str, Any]]:
        """The events in the outbox, in order."""
        return [json.loads(row["body"]) for row in await self.rows("SELECT body FROM outbox ORDER BY position")]


ORIGIN = Origin(username="ada@example.com", ip_address="192.0.2.7", request_id="request-0001")


@pytest.fixture
def keys() -> Keys:
    """Fresh keys of a settings service."""
    vault = Vault(Keyring(key_encryption_key(bytes(range(32)))))
    return Keys(unsealer=Unsealer(bytes(PrivateKey.generate())), vault=vault)


@pytest.fixture(scope="session")
async def settings_platform(platform_databases: PlatformDatabases) -> AsyncIterator[PlatformDatabase]:
    """One platform database for all of these tests; each finds its tables empty."""
    platform = await platform_databases.make("settings")
    yield platform
    await platform_databases.give_back(platform)


@pytest.fixture
async def settings(settings_platform: PlatformDatabase, keys: Keys) -> AsyncIterator[SettingsUnderTest]:
    """The service's handlers on empty tables."""
    database = settings_platform.database("settings", pool_size=20)
    admin = await asyncpg.connect(settings_platform.admin_url, server_settings={"search_path": "settings"})
    made = SettingsUnderTest(database, keys, admin)
    async with admin.transaction():
        for table in (*COMMON_TABLES, "settings", "setting_history", "setting_secrets"):
            await admin.execute(f"DELETE FROM {table}")
    yield made
    await admin.close()
    await database.close()
