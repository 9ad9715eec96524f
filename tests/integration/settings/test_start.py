"""What the service does at its start."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest

from libs.common.broker.embedded import EmbeddedTransport
from libs.common.errors import ConfigError
from libs.common.events.envelope import Event
from libs.common.keys import load_or_create_ed25519, load_x25519_public
from services.settings.app import build, prepare
from services.settings.commands.defaults import create_defaults
from services.settings.config import Config
from services.settings.models.defaults import DEFAULTS
from tests.integration.settings.conftest import SettingsUnderTest

NOW = datetime(2026, 1, 1, tzinfo=UTC)


async def seed(settings: SettingsUnderTest) -> list[Event]:
    async with settings.database.transaction() as session:
        return await create_defaults(session, DEFAULTS, vault=settings.keys.vault, at=NOW)


async def test_the_defaults_are_created_and_told_of(settings: SettingsUnderTest) -> None:
    await seed(settings)
    rows = await settings.rows("SELECT key, value::text, value_type, category, is_public FROM settings ORDER BY key")
    assert rows == [
        ("maintenance_mode", "false", "boolean", "system", True),
        ("max_stores_allowed", "1000", "integer", "system", False),
        ("store_trial_days", "30", "integer", "system", False),
    ]
    told = await settings.announced()
    assert [one["subject"] for one in told] == [
        "setting/max_stores_allowed", "setting/maintenance_mode", "setting/store_trial_days",
    ]  # fmt: skip
    assert {(one["type"], one["actortype"], "causationid" in one) for one in told} == {
        ("reeve.setting.created.v1", "system", False)
    }


async def test_the_defaults_are_created_once(settings: SettingsUnderTest) -> None:
    await seed(settings)
    await settings.change("store_trial_days", 14)
    await settings.delete("maintenance_mode")
    assert await seed(settings) == []
    assert await settings.rows("SELECT key, value::text FROM settings ORDER BY key") == [
        ("max_stores_allowed", "1000"), ("store_trial_days", "14"),
    ]  # fmt: skip


async def test_instances_that_start_at_once_create_them_once(settings: SettingsUnderTest) -> None:
    created = await asyncio.gather(*(seed(settings) for _ in range(8)))
    assert sum(len(events) for events in created) == 3
    assert len(await settings.announced()) == 3


async def test_a_start_without_the_key_of_a_stored_secret_fails(settings: SettingsUnderTest, tmp_path: Path) -> None:
    await settings.create("stripe_key", "hidden", "secret")
    load_or_create_ed25519(tmp_path / "gateway.key")
    service = build(Config(keys_dir=tmp_path), database=settings.database, transport=EmbeddedTransport())
    with pytest.raises(ConfigError, match="REEVE_KEK_FILE"):
        await prepare(service)


async def test_a_start_makes_its_keys_and_its_settings(settings: SettingsUnderTest, tmp_path: Path) -> None:
    load_or_create_ed25519(tmp_path / "gateway.key")
    service = build(Config(keys_dir=tmp_path), database=settings.database, transport=EmbeddedTransport())
    await prepare(service)
    await prepare(service)
    assert len(load_x25519_public(tmp_path / "settings.key.pub")) == 32
    assert (tmp_path / "settings.kek").stat().st_mode & 0o777 == 0o400
    assert len(await settings.rows("SELECT FROM settings")) == 3
    build(Config(keys_dir=tmp_path), database=settings.database, transport=EmbeddedTransport())
