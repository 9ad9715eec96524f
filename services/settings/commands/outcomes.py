"""The events that tell of a setting's new version. What is encrypted or sensitive is masked in them."""

from dataclasses import dataclass
from datetime import datetime
from typing import assert_never

from libs.common.events.catalog import Change, new_event
from libs.common.events.envelope import Event
from libs.common.events.settings import (
    SettingChanged,
    SettingCreated,
    SettingDefined,
    SettingDeleted,
    SettingRolledBack,
)
from libs.common.identity import Origin
from services.settings.models.bodies import setting_body
from services.settings.models.decisions import Revision, Stamp, changes
from services.settings.models.kinds import Step
from services.settings.models.values import loaded


@dataclass(frozen=True, slots=True)
class Ask:
    """Who wants a write, why, and for which operation: the id of the command, None when the service itself acts."""

    at: datetime
    actor_id: str | None
    actor_type: str | None
    operation_id: str | None = None
    origin: Origin | None = None
    reason: str | None = None
    correlation_id: str | None = None
    traceparent: str | None = None

    @property
    def stamp(self) -> Stamp:
        """What the setting itself keeps of this."""
        return Stamp(self.at, self.actor_id)


def outcome_event(ask: Ask, revision: Revision, *, restored_version: int | None = None) -> Event:
    """The outcome of a write; `restored_version` is the one that a rollback went back to."""
    return new_event(
        _data(ask, revision, restored_version),
        subject=f"setting/{revision.after.key}",
        actor_id=ask.actor_id,
        actor_type=ask.actor_type,
        correlation_id=ask.correlation_id,
        causation_id=ask.operation_id,
        traceparent=ask.traceparent,
        time=ask.at,
    )


Outcome = SettingCreated | SettingChanged | SettingDefined | SettingDeleted | SettingRolledBack


def _data(ask: Ask, revision: Revision, restored_version: int | None) -> Outcome:
    after = revision.after
    definition = after.definition
    told = {name: Change(old=one["old"], new=one["new"]) for name, one in changes(revision).items()}
    is_gone = revision.step is Step.DELETED
    result = None if is_gone else setting_body(after, loaded, reveals_sensitive=False)
    key, version, value_type, origin, reason = after.key, after.version, definition.value_type, ask.origin, ask.reason
    match revision.step:
        case Step.CREATED:
            model: type[SettingCreated | SettingChanged | SettingDefined | SettingDeleted] = SettingCreated
        case Step.CHANGED:
            model = SettingChanged
        case Step.DEFINED:
            model = SettingDefined
        case Step.DELETED:
            model = SettingDeleted
        case Step.ROLLED_BACK:
            assert restored_version is not None
            return SettingRolledBack(
                key=key, version=version, value_type=value_type, changes=told, reason=reason, result=result,
                origin=origin, restored_version=restored_version,
            )  # fmt: skip
        case _:
            assert_never(revision.step)
    return model(
        key=key, version=version, value_type=value_type, changes=told, reason=reason, result=result, origin=origin
    )
