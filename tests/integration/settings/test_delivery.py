"""Commands as they really arrive: over a transport, perhaps twice, and answered."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from libs.common.broker.embedded import EmbeddedTransport
from libs.common.broker.topology import COMMANDS, SETTINGS_COMMANDS
from libs.common.broker.transport import Message
from libs.common.delivery.commands import CommandClient, CommandConsumer
from libs.common.events.all_types import CATALOG
from libs.common.events.envelope import BATCH, Event, encode, pack
from libs.common.events.settings import ChangeSetting, CreateSetting, SettingDefinition
from libs.common.ids import new_id
from services.settings.handlers import command_handlers
from tests.integration.settings.conftest import SettingsUnderTest
from tests.support.eventually import eventually


class Bus:
    """The gateway's end of the commands' queue."""

    def __init__(self, transport: EmbeddedTransport, client: CommandClient) -> None:
        self.transport = transport
        self.client = client

    async def send(self, *commands: Event, app_id: str = "gateway") -> list[Event]:
        """Send them as one message and wait for every outcome."""
        waiting = [self.client.expect(command.id) for command in commands]
        await self.transport.publish(self.message(*commands, app_id=app_id))
        async with asyncio.timeout(10):
            return [await one for one in waiting if one is not None]

    def message(self, *commands: Event, app_id: str = "gateway") -> Message:
        """Commands as the gateway's relay packs them."""
        return Message(
            body=pack([encode(command) for command in commands]), content_type=BATCH, exchange=COMMANDS,
            routing_key=SETTINGS_COMMANDS.name, message_id=new_id(), type=commands[0].type, app_id=app_id,
            reply_to=self.client.reply_queue,
        )  # fmt: skip


@pytest.fixture
async def bus(settings: SettingsUnderTest) -> AsyncIterator[Bus]:
    """A running consumer of commands, and a client that waits for its replies."""
    transport = EmbeddedTransport(queues=(SETTINGS_COMMANDS,))
    client = CommandClient(transport)
    consumer = CommandConsumer(
        settings.database, transport, SETTINGS_COMMANDS, source="/reeve/settings",
        handlers=command_handlers(settings.keys), catalog=CATALOG,
    )  # fmt: skip
    async with running(client, consumer):
        yield Bus(transport, client)
    await transport.close()


@asynccontextmanager
async def running(*parts: CommandClient | CommandConsumer) -> AsyncIterator[None]:
    """Run them for as long as the block lasts."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(part.run()) for part in parts]
        await asyncio.sleep(0)
        with suppress(asyncio.CancelledError):
            yield
        for task in tasks:
            task.cancel()


def numbered(settings: SettingsUnderTest, first: int, *values: object, version: int | None = None) -> list[Event]:
    """Changes of `counter` with the gateway's gapless numbers."""
    sealed = [settings.sealed(value) for value in values]
    return [
        settings.command(ChangeSetting(key="counter", sealed_value=one or "", expected_version=version)).numbered(
            number
        )
        for number, one in enumerate(sealed, start=first)
    ]


def creation(settings: SettingsUnderTest) -> Event:
    """The command that makes `counter`, the first of the gateway's."""
    data = CreateSetting(
        key="counter", definition=SettingDefinition(value_type="integer"), sealed_value=settings.sealed(0)
    )
    return settings.command(data).numbered(1)


async def test_commands_are_answered_in_their_order(settings: SettingsUnderTest, bus: Bus) -> None:
    [created] = await bus.send(creation(settings))
    changed = await bus.send(*numbered(settings, 2, *range(1, 51)))
    assert created.data["status"] == 201
    assert [one.data["result"]["version"] for one in changed] == list(range(2, 52))
    assert [one["data"]["version"] for one in await settings.announced()] == list(range(1, 52))


async def test_a_duplicate_command_applies_once(settings: SettingsUnderTest, bus: Bus) -> None:
    await bus.send(creation(settings))
    [change] = numbered(settings, 2, 5)
    await bus.send(change)
    await bus.transport.publish(bus.message(change))
    await bus.transport.publish(bus.message(change, change))
    assert await settings.rows("SELECT version FROM settings") == [(2,)]
    assert len(await settings.announced()) == 2


async def test_one_refusal_leaves_its_neighbours_applied(settings: SettingsUnderTest, bus: Bus) -> None:
    await bus.send(creation(settings))
    outcomes = await bus.send(*numbered(settings, 2, 1, "many", 3))
    assert [one.type for one in outcomes] == [
        "reeve.setting.changed.v1", "reeve.operation.rejected.v1", "reeve.setting.changed.v1",
    ]  # fmt: skip
    rejected = outcomes[1].data
    assert (rejected["status"], rejected["error"]["error"], rejected["action"]) == (
        422,
        "invalid_value",
        "update_setting",
    )
    assert await settings.rows("SELECT value::text, version FROM settings") == [("3", 3)]
    assert len(await settings.announced()) == 4


async def test_of_many_conditional_changes_in_one_message_the_first_wins(settings: SettingsUnderTest, bus: Bus) -> None:
    await bus.send(creation(settings))
    outcomes = await bus.send(*numbered(settings, 2, *range(1, 51), version=1))
    assert [one.data["status"] for one in outcomes] == [200] + [412] * 49
    assert outcomes[1].data["error"] == {
        "error": "version_conflict", "message": "counter is at version 2, not at version 1", "current_version": 2,
    }  # fmt: skip


async def test_only_the_gateway_commands_settings(settings: SettingsUnderTest, bus: Bus) -> None:
    await bus.send(creation(settings))
    foreign = numbered(settings, 1, 9)[0]._replace(source="/reeve/notifications")
    await bus.transport.publish(bus.message(foreign, app_id="notifications"))

    async def reasons() -> list[str]:
        return [row["reason"] for row in await settings.rows("SELECT reason FROM dead_letters")]

    await eventually(reasons)
    assert [reason.partition(":")[0] for reason in await reasons()] == ["source_not_allowed"]
    assert await settings.rows("SELECT version FROM settings") == [(1,)]


async def test_a_malformed_command_is_refused_without_its_content(settings: SettingsUnderTest, bus: Bus) -> None:
    good = creation(settings)
    bad = good._replace(data={**good.data, "key": "Bad Key", "action": "create_setting"})
    [outcome] = await bus.send(bad)
    assert (outcome.data["status"], outcome.data["error"]["error"]) == (422, "validation_error")
    assert "Bad Key" not in str(outcome.data)
