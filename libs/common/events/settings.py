"""Messages about the platform's settings: commands to the settings service and what it answers.

A value on its way there is sealed to the service's key (`libs.common.sealing`): the JSON text of the value as
the caller gave it. Events show a value only when the setting is neither encrypted nor sensitive; otherwise
`"[redacted]"` stands for it. An outcome's `result` is the setting as the API answers it (`SettingResponse`).
"""

from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from libs.common.events.catalog import Change, CommandData, OutcomeData

KEY_PATTERN = r"^[a-z][a-z0-9_.-]{0,254}$"
MOST_SEALED_CHARACTERS = 180_000

SettingKey = Annotated[str, StringConstraints(pattern=KEY_PATTERN)]
ValueType = Literal["string", "integer", "number", "boolean", "json", "string_list", "secret"]
ConfigType = Literal["setting", "feature_flag", "threshold", "integration"]
Category = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]{1,100}$")]
Description = Annotated[str, StringConstraints(max_length=2000, pattern=r"^[^\x00]*$")]
Reason = Annotated[str, StringConstraints(min_length=1, max_length=1000, pattern=r"^[^\x00]*$")]
Sealed = Annotated[str, StringConstraints(max_length=MOST_SEALED_CHARACTERS)]
Version = Annotated[int, Field(ge=1, le=2**31 - 1)]
Clearable = Literal["json_schema", "default_value"]

_KEY = "max_stores_allowed"
_SEALED = "c2VhbGVkIHRvIHRoZSBzZXR0aW5ncyBzZXJ2aWNl"
_RESULT: dict[str, Any] = {
    "key": _KEY, "value": 1200, "value_type": "integer", "category": "system", "config_type": "setting",
    "description": "Stores the platform may hold", "json_schema": None, "default_value": 1000, "is_public": False,
    "is_encrypted": False, "is_sensitive": False, "allow_override": False, "requires_approval": False, "version": 2,
    "updated_at": "2026-01-01T00:00:00.000000Z", "updated_by": "0199a0c0-0000-7000-8000-000000000001",
}  # fmt: skip
_CHANGED: dict[str, Any] = {
    "key": _KEY, "version": 2, "value_type": "integer", "changes": {"value": {"old": 1000, "new": 1200}}, "result": _RESULT,
}  # fmt: skip


class SettingResponse(BaseModel):
    """A setting as the API answers it. An encrypted value reads as `{"is_set": true, "hint": "...4242"}`."""

    model_config = ConfigDict(extra="forbid")

    key: str
    value: Any
    value_type: ValueType
    category: str
    config_type: ConfigType
    description: str
    json_schema: dict[str, Any] | None
    default_value: Any
    is_public: bool
    is_encrypted: bool
    is_sensitive: bool
    allow_override: bool
    requires_approval: bool
    version: int
    updated_at: datetime
    updated_by: str | None


class SettingDefinition(BaseModel):
    """What a setting is, without its value and default. Members left out take the defaults written here."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    value_type: ValueType
    category: Category = "general"
    config_type: ConfigType = "setting"
    description: Description = ""
    json_schema: dict[str, Any] | None = None
    is_public: bool = False
    is_encrypted: bool = False
    is_sensitive: bool = False
    allow_override: bool = False
    requires_approval: bool = False


class DefinitionPatch(BaseModel):
    """The members of a definition that change; those that are absent stay as they are."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    value_type: ValueType | None = None
    category: Category | None = None
    config_type: ConfigType | None = None
    description: Description | None = None
    json_schema: dict[str, Any] | None = None
    is_public: bool | None = None
    is_encrypted: bool | None = None
    is_sensitive: bool | None = None
    allow_override: bool | None = None
    requires_approval: bool | None = None


class _SettingCommand(CommandData):
    SOURCE: ClassVar[str] = "/reeve/gateway"

    key: SettingKey
    reason: Reason | None = None


class CreateSetting(_SettingCommand):
    """Create a setting; without a value it starts with its default."""

    TYPE: ClassVar[str] = "reeve.command.setting.create.v1"
    ACTION: ClassVar[str] = "create_setting"
    EXAMPLE: ClassVar[dict[str, Any]] = {
        "key": _KEY, "definition": {"value_type": "integer"}, "sealed_value": _SEALED, "action": ACTION,
    }  # fmt: skip

    action: Literal["create_setting"] = "create_setting"
    definition: SettingDefinition
    sealed_value: Sealed | None = None
    sealed_default_value: Sealed | None = None


class ChangeSetting(_SettingCommand):
    """Give a setting another value. `expected_version` is what `If-Match` named."""

    TYPE: ClassVar[str] = "reeve.command.setting.change.v1"
    ACTION: ClassVar[str] = "update_setting"
    EXAMPLE: ClassVar[dict[str, Any]] = {
        "key": _KEY, "sealed_value": _SEALED, "expected_version": 1, "action": ACTION,
    }  # fmt: skip

    action: Literal["update_setting"] = "update_setting"
    sealed_value: Sealed
    expected_version: Version | None = None


class DefineSetting(_SettingCommand):
    """Change what a setting is, not its value. `clear` names members that become null."""

    TYPE: ClassVar[str] = "reeve.command.setting.define.v1"
    ACTION: ClassVar[str] = "define_setting"
    EXAMPLE: ClassVar[dict[str, Any]] = {
        "key": _KEY, "patch": {"description": "Stores the platform may hold"}, "clear": ["json_schema"], "action": ACTION,
    }  # fmt: skip

    action: Literal["define_setting"] = "define_setting"
    patch: DefinitionPatch = DefinitionPatch()
    clear: tuple[Clearable, ...] = ()
    sealed_default_value: Sealed | None = None
    expected_version: Version | None = None


class UpsertSetting(_SettingCommand):
    """Create a setting, or replace its definition and, where one is given, its value."""

    TYPE: ClassVar[str] = "reeve.command.setting.upsert.v1"
    ACTION: ClassVar[str] = "upsert_setting"
    EXAMPLE: ClassVar[dict[str, Any]] = {
        "key": _KEY, "definition": {"value_type": "integer"}, "sealed_value": _SEALED, "action": ACTION,
    }  # fmt: skip

    action: Literal["upsert_setting"] = "upsert_setting"
    definition: SettingDefinition
    sealed_value: Sealed | None = None
    sealed_default_value: Sealed | None = None
    expected_version: Version | None = None


class DeleteSetting(_SettingCommand):
    """Delete a setting; its secrets are destroyed, the history of a plain value stays."""

    TYPE: ClassVar[str] = "reeve.command.setting.delete.v1"
    ACTION: ClassVar[str] = "delete_setting"
    EXAMPLE: ClassVar[dict[str, Any]] = {"key": _KEY, "expected_version": 2, "action": ACTION}

    action: Literal["delete_setting"] = "delete_setting"
    expected_version: Version | None = None


class RollbackSetting(_SettingCommand):
    """Give a setting the value it had at an earlier version, as a new version."""

    TYPE: ClassVar[str] = "reeve.command.setting.rollback.v1"
    ACTION: ClassVar[str] = "rollback_setting"
    EXAMPLE: ClassVar[dict[str, Any]] = {"key": _KEY, "version": 1, "action": ACTION}

    action: Literal["rollback_setting"] = "rollback_setting"
    version: Version
    expected_version: Version | None = None


class _SettingOutcome(OutcomeData):
    SOURCE: ClassVar[str] = "/reeve/settings"

    key: str
    version: int
    value_type: ValueType
    changes: dict[str, Change]
    reason: str | None = None
    result: dict[str, Any] | None = None


class SettingCreated(_SettingOutcome):
    """A setting came to be."""

    TYPE: ClassVar[str] = "reeve.setting.created.v1"
    ACTION: ClassVar[str] = "create_setting"
    EXAMPLE: ClassVar[dict[str, Any]] = {
        **_CHANGED, "status": 201, "version": 1, "changes": {"value": {"new": 1200}}, "result": {**_RESULT, "version": 1},
    }  # fmt: skip

    status: int = 201


class SettingChanged(_SettingOutcome):
    """A setting has another value; with a full body perhaps another definition too."""

    TYPE: ClassVar[str] = "reeve.setting.changed.v1"
    ACTION: ClassVar[str] = "update_setting"
    EXAMPLE: ClassVar[dict[str, Any]] = _CHANGED


class SettingDefined(_SettingOutcome):
    """A setting's definition changed."""

    TYPE: ClassVar[str] = "reeve.setting.defined.v1"
    ACTION: ClassVar[str] = "define_setting"
    EXAMPLE: ClassVar[dict[str, Any]] = {**_CHANGED, "changes": {"category": {"old": "general", "new": "system"}}}


class SettingDeleted(_SettingOutcome):
    """A setting is gone. `version` is the one that its deletion took."""

    TYPE: ClassVar[str] = "reeve.setting.deleted.v1"
    ACTION: ClassVar[str] = "delete_setting"
    EXAMPLE: ClassVar[dict[str, Any]] = {
        "key": _KEY, "version": 3, "value_type": "integer", "status": 204, "changes": {"value": {"old": 1200}},
    }  # fmt: skip

    status: int = 204


class SettingRolledBack(_SettingOutcome):
    """A setting has the value of an earlier version again, as a new version."""

    TYPE: ClassVar[str] = "reeve.setting.rolled_back.v1"
    ACTION: ClassVar[str] = "rollback_setting"
    EXAMPLE: ClassVar[dict[str, Any]] = {**_CHANGED, "restored_version": 1}

    restored_version: int
