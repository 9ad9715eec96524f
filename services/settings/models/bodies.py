"""How settings read: the bodies that the API answers and that events tell, with every value that may not be seen masked."""

from collections.abc import Callable
from typing import Any, TypedDict

from libs.common.events.envelope import rfc3339
from services.settings.models.decisions import REDACTED, mask
from services.settings.models.settings import Past, Setting


class HistoryEntryResponse(TypedDict):
    """One version of a setting: what its value was, who made it so, and why."""

    version: int
    value: object
    changed_by: str | None
    changed_at: str
    reason: str | None
    operation_id: str | None
    step: str


class PublicSettingResponse(TypedDict):
    """What anybody may know of a public setting."""

    key: str
    value: object
    value_type: str
    category: str
    description: str
    version: int
    updated_at: str


def setting_body(setting: Setting, json: Callable[[str], object], *, reveals_sensitive: bool) -> dict[str, Any]:
    """The members of `libs.common.events.settings.SettingResponse`; `json` makes of a stored JSON text what the encoder takes."""
    own = setting.definition
    shows = reveals_sensitive or not own.is_sensitive
    return {
        "key": setting.key,
        "value": _value(setting, json) if shows or own.is_encrypted else REDACTED,
        "value_type": own.value_type,
        "category": own.category,
        "config_type": own.config_type,
        "description": own.description,
        "json_schema": json(own.json_schema) if own.json_schema is not None else None,
        "default_value": _default(own.default_value, json, shows=shows),
        "is_public": own.is_public,
        "is_encrypted": own.is_encrypted,
        "is_sensitive": own.is_sensitive,
        "allow_override": own.allow_override,
        "requires_approval": own.requires_approval,
        "version": setting.version,
        "updated_at": rfc3339(setting.updated_at),
        "updated_by": setting.updated_by,
    }


def public_body(setting: Setting, json: Callable[[str], object]) -> PublicSettingResponse:
    """A public setting as anybody may read it."""
    return {
        "key": setting.key,
        "value": _value(setting, json),
        "value_type": setting.definition.value_type,
        "category": setting.definition.category,
        "description": setting.definition.description,
        "version": setting.version,
        "updated_at": rfc3339(setting.updated_at),
    }


def history_body(past: Past, json: Callable[[str], object]) -> HistoryEntryResponse:
    """A past version; a secret one shows its mask, a deletion nothing."""
    return {
        "version": past.version,
        "value": mask(past.secret) if past.is_encrypted else json(past.value) if past.value is not None else None,
        "changed_by": past.changed_by,
        "changed_at": rfc3339(past.changed_at),
        "reason": past.reason,
        "operation_id": past.operation_id,
        "step": past.step.value,
    }


def _value(setting: Setting, json: Callable[[str], object]) -> object:
    return json(setting.value) if setting.value is not None else mask(setting.secret)


def _default(text: str | None, json: Callable[[str], object], *, shows: bool) -> object:
    if text is None:
        return None
    return json(text) if shows else REDACTED
