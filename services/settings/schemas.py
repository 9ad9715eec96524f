"""Response bodies. What a setting reads as is named in `libs.common.events.settings.SettingResponse`."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from libs.common.events.envelope import rfc3339
from services.settings.models.decisions import REDACTED, mask
from services.settings.models.settings import Past, Setting


class HistoryEntryResponse(BaseModel):
    """One version of a setting: what its value was, who made it so, and why."""

    model_config = ConfigDict(extra="forbid")

    version: int
    value: Any
    changed_by: str | None
    changed_at: datetime
    reason: str | None
    operation_id: str | None
    step: str


class CategoryResponse(BaseModel):
    """A category and how many settings it has."""

    model_config = ConfigDict(extra="forbid")

    category: str
    count: int


class PublicSettingResponse(BaseModel):
    """What anybody may know of a public setting."""

    model_config = ConfigDict(extra="forbid")

    key: str
    value: Any
    value_type: str
    category: str
    description: str
    version: int
    updated_at: datetime


def setting_body(setting: Setting, json: Callable[[str], object], *, reveals_sensitive: bool) -> dict[str, Any]:
    """The members of `SettingResponse`; `json` makes of a stored JSON text what the encoder takes."""
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


def public_body(setting: Setting, json: Callable[[str], object]) -> dict[str, Any]:
    """The members of `PublicSettingResponse`."""
    return {
        "key": setting.key,
        "value": _value(setting, json),
        "value_type": setting.definition.value_type,
        "category": setting.definition.category,
        "description": setting.definition.description,
        "version": setting.version,
        "updated_at": rfc3339(setting.updated_at),
    }


def history_body(past: Past, json: Callable[[str], object]) -> dict[str, Any]:
    """The members of `HistoryEntryResponse`."""
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
