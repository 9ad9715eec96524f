"""The writes of settings.

Every function works in the caller's transaction, locks the setting's row first, and returns the outcome, which
the caller emits. A refusal rises before anything was written.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from libs.common.database.engine import Session
from libs.common.errors import Conflict
from libs.common.events.envelope import Event
from services.settings.commands.outcomes import Ask, outcome_event
from services.settings.models import decisions
from services.settings.models.decisions import Revision, check_version
from services.settings.models.definitions import DefinitionEdit, edited
from services.settings.models.errors import SettingExists, SettingNotFound, VersionNotFound
from services.settings.models.settings import Definition, Given, Past, Setting, fitted
from services.settings.models.values import loaded
from services.settings.secrets.vault import Slot, Vault
from services.settings.store import history, secrets, settings

MOST_TRIES = 3
"""Tries of an upsert whose setting others create and delete meanwhile."""


@dataclass(frozen=True, slots=True)
class Change:
    """Another value for a setting, which must have the expected version where one is given."""

    ask: Ask
    key: str
    given: Given
    expected_version: int | None


async def create_setting(
    session: Session, ask: Ask, *, vault: Vault, key: str, definition: Definition, given: Given | None
) -> Event:
    """A new setting. Raises `SettingExists`."""
    if await settings.find(session, key) is not None:
        raise SettingExists(key)
    version = await settings.next_version(session, key)
    revision = decisions.create(key, definition, given, version=version, stamp=ask.stamp)
    return await _write(session, ask, revision, vault=vault)


async def change_settings(session: Session, wanted: Sequence[Change], *, vault: Vault) -> list[Event]:
    """Other values, in as few statements as one would take. Those of one setting follow one another."""
    found = await settings.find_all_locked(session, {one.key for one in wanted})
    revisions = []
    for one in wanted:
        setting = _expected(one.key, found.get(one.key), one.expected_version)
        revision = decisions.change(setting, one.given, one.ask.stamp)
        found[one.key] = revision.after
        revisions.append(revision)
    asks = [one.ask for one in wanted]
    noted = [(one, ask.reason, ask.operation_id) for one, ask in zip(revisions, asks, strict=True)]
    await settings.append_changes(session, noted)
    for revision in revisions:
        await _keep_secret(session, vault, revision)
    return [outcome_event(ask, revision) for ask, revision in zip(asks, revisions, strict=True)]


async def define_setting(
    session: Session, ask: Ask, *, vault: Vault, key: str, edit: DefinitionEdit, expected_version: int | None
) -> Event:
    """Another definition, the same value."""
    setting = await _locked(session, key, expected_version)
    revision = decisions.define(setting, edited(setting.definition, edit), ask.stamp)
    await _check_secret(session, vault, revision)
    return await _write(session, ask, revision, vault=vault)


async def upsert_setting(
    session: Session,
    ask: Ask,
    *,
    vault: Vault,
    key: str,
    definition: Definition,
    given: Given | None,
    expected_version: int | None,
) -> Event:
    """A new setting, or another definition and perhaps value of the one that is there."""
    for _ in range(MOST_TRIES):
        setting = await settings.find_locked(session, key)
        check_version(key, setting, expected_version)
        if setting is not None:
            revision = decisions.replace_all(setting, definition, given, ask.stamp)
            await _check_secret(session, vault, revision)
            return await _write(session, ask, revision, vault=vault)
        try:
            return await create_setting(session, ask, vault=vault, key=key, definition=definition, given=given)
        except SettingExists:
            continue
    raise Conflict(f"{key} is created and deleted by others at this moment")


async def delete_setting(session: Session, ask: Ask, *, key: str, expected_version: int | None) -> Event:
    """No such setting any more, and none of its secrets."""
    setting = await _locked(session, key, expected_version)
    revision = decisions.delete(setting, ask.stamp)
    await settings.delete(session, revision, reason=ask.reason, operation_id=ask.operation_id)
    return outcome_event(ask, revision)


async def roll_back_setting(
    session: Session, ask: Ask, *, vault: Vault, key: str, version: int, expected_version: int | None
) -> Event:
    """The value of an earlier version again. Raises `VersionNotFound` when there is none to go back to."""
    setting = await _locked(session, key, expected_version)
    past = await history.find(session, key, version)
    if past is None:
        raise VersionNotFound(key, version)
    given = await _past_value(session, vault, key, past)
    revision = decisions.roll_back(setting, past, given, ask.stamp)
    return await _write(session, ask, revision, vault=vault, restored_version=version)


async def _locked(session: Session, key: str, expected_version: int | None) -> Setting:
    return _expected(key, await settings.find_locked(session, key), expected_version)


def _expected(key: str, setting: Setting | None, version: int | None) -> Setting:
    if setting is None:
        raise SettingNotFound(key)
    check_version(key, setting, version)
    return setting


async def _write(
    session: Session, ask: Ask, revision: Revision, *, vault: Vault, restored_version: int | None = None
) -> Event:
    await settings.append(session, revision, reason=ask.reason, operation_id=ask.operation_id)
    await _keep_secret(session, vault, revision)
    return outcome_event(ask, revision, restored_version=restored_version)


async def _keep_secret(session: Session, vault: Vault, revision: Revision) -> None:
    if revision.plain is not None:
        slot = Slot(revision.after.key, revision.after.version)
        await secrets.append(session, slot, vault.encrypt(revision.plain.encode(), slot))


async def _past_value(session: Session, vault: Vault, key: str, past: Past) -> Given | None:
    if past.value is not None:
        return Given(loaded(past.value))
    if past.secret is None:
        return None
    return await _open(session, vault, Slot(key, past.secret.version))


async def _check_secret(session: Session, vault: Vault, revision: Revision) -> None:
    """Hold a secret that stays as it is to the schema that is new."""
    if decisions.must_open(revision):
        after = revision.after
        assert after.secret is not None
        given = await _open(session, vault, Slot(after.key, after.secret.version))
        if given is not None:
            fitted(given.value, after.definition)


async def _open(session: Session, vault: Vault, slot: Slot) -> Given | None:
    record = await secrets.find(session, slot)
    return Given(loaded(vault.decrypt(record, slot).decode())) if record is not None else None
