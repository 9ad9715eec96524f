"""Commands in: one function per command type. Each opens what was sealed to this service, and leaves one outcome."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Final

from libs.common.database.engine import Session
from libs.common.delivery.arrivals import Arrived
from libs.common.delivery.asked import CommandT, read_command
from libs.common.delivery.commands import CommandHandler, one_by_one
from libs.common.errors import Invalid
from libs.common.events.envelope import Event
from libs.common.events.settings import (
    ChangeSetting,
    CreateSetting,
    DefineSetting,
    DeleteSetting,
    RollbackSetting,
    SettingDefinition,
    UpsertSetting,
)
from libs.common.events.users import UserErased
from libs.common.sealing import NotSealed, Unsealer
from services.settings.commands import writes
from services.settings.commands.outcomes import Ask
from services.settings.commands.people import erase_user
from services.settings.commands.writes import Change
from services.settings.models.definitions import DefinitionEdit, defined
from services.settings.models.settings import Definition, Given
from services.settings.models.values import parse
from services.settings.secrets.keys import Keys

Command = CreateSetting | ChangeSetting | DefineSetting | UpsertSetting | DeleteSetting | RollbackSetting

_SCHEMA: Final = "json_schema"


def command_handlers(keys: Keys) -> Mapping[str, CommandHandler]:
    """The handler of each command type of this service."""
    return {
        CreateSetting.TYPE: one_by_one(partial(create_setting, keys)),
        ChangeSetting.TYPE: partial(change_settings, keys),
        DefineSetting.TYPE: one_by_one(partial(define_setting, keys)),
        UpsertSetting.TYPE: one_by_one(partial(upsert_setting, keys)),
        DeleteSetting.TYPE: one_by_one(delete_setting),
        RollbackSetting.TYPE: one_by_one(partial(roll_back_setting, keys)),
    }


async def create_setting(keys: Keys, session: Session, command: Event) -> Event:
    """Applies `CreateSetting`."""
    asked = _read(CreateSetting, command)
    return await writes.create_setting(
        session, _ask(asked, command), vault=keys.vault, key=asked.key,
        definition=_definition(keys, asked.definition, asked.sealed_default_value),
        given=_opened(keys.unsealer, asked.sealed_value),
    )  # fmt: skip


async def change_settings(keys: Keys, session: Session, commands: Sequence[Event]) -> list[Event]:
    """Applies `ChangeSetting`, of which many come at once."""
    return await writes.change_settings(session, [_change(keys, one) for one in commands], vault=keys.vault)


async def define_setting(keys: Keys, session: Session, command: Event) -> Event:
    """Applies `DefineSetting`."""
    asked = _read(DefineSetting, command)
    edit = DefinitionEdit(
        members=asked.patch.model_dump(exclude_none=True, exclude={_SCHEMA}),
        schema=asked.patch.json_schema,
        default=_opened(keys.unsealer, asked.sealed_default_value),
        clear=frozenset(asked.clear),
    )
    return await writes.define_setting(
        session, _ask(asked, command), vault=keys.vault, key=asked.key, edit=edit,
        expected_version=asked.expected_version,
    )  # fmt: skip


async def upsert_setting(keys: Keys, session: Session, command: Event) -> Event:
    """Applies `UpsertSetting`."""
    asked = _read(UpsertSetting, command)
    return await writes.upsert_setting(
        session, _ask(asked, command), vault=keys.vault, key=asked.key,
        definition=_definition(keys, asked.definition, asked.sealed_default_value),
        given=_opened(keys.unsealer, asked.sealed_value), expected_version=asked.expected_version,
    )  # fmt: skip


async def delete_setting(session: Session, command: Event) -> Event:
    """Applies `DeleteSetting`."""
    asked = _read(DeleteSetting, command)
    return await writes.delete_setting(
        session, _ask(asked, command), key=asked.key, expected_version=asked.expected_version
    )


async def roll_back_setting(keys: Keys, session: Session, command: Event) -> Event:
    """Applies `RollbackSetting`."""
    asked = _read(RollbackSetting, command)
    return await writes.roll_back_setting(
        session, _ask(asked, command), vault=keys.vault, key=asked.key, version=asked.version,
        expected_version=asked.expected_version,
    )  # fmt: skip


async def follow_accounts(session: Session, arrived: Sequence[Arrived]) -> None:
    """Erase what is kept of whoever the gateway erased. Registered clients the subscriber itself remembers."""
    for event in (one.event for one in arrived):
        if event.type == UserErased.TYPE and event.source == UserErased.SOURCE:
            await erase_user(session, str(event.data["user_id"]), cause=event)


def _read(model: type[CommandT], command: Event) -> CommandT:
    return read_command(model, command, doing="command settings", below=())


def _change(keys: Keys, command: Event) -> Change:
    asked = _read(ChangeSetting, command)
    return Change(
        _ask(asked, command), asked.key, _open(keys.unsealer, asked.sealed_value), asked.expected_version
    )  # fmt: skip


def _ask(asked: Command, command: Event) -> Ask:
    return Ask(
        at=datetime.now(UTC),
        actor_id=command.actorid,
        actor_type=command.actortype,
        operation_id=command.id,
        origin=asked.origin,
        reason=asked.reason,
        correlation_id=command.correlationid,
        traceparent=command.traceparent,
    )


def _definition(keys: Keys, asked: SettingDefinition, sealed_default: str | None) -> Definition:
    given = _opened(keys.unsealer, sealed_default)
    bare = Definition(**asked.model_dump(exclude={_SCHEMA}))
    return defined(bare, schema=asked.json_schema, default=given.value if given is not None else None)


def _opened(unsealer: Unsealer, sealed: str | None) -> Given | None:
    return _open(unsealer, sealed) if sealed is not None else None


def _open(unsealer: Unsealer, sealed: str) -> Given:
    try:
        plain = unsealer.unseal(sealed)
    except NotSealed:
        raise Invalid("the value was not sealed to the settings service", code="value_not_sealed") from None
    return Given(parse(plain))
