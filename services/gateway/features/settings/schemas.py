"""What may be asked of the settings."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from libs.common.events.settings import (
    Category,
    ConfigType,
    Description,
    Reason,
    SettingDefinition,
    SettingKey,
    SettingResponse,
    ValueType,
    Version,
)
from services.gateway.features.schemas import ListQuery, ListResponse


class ListSettingsQuery(ListQuery):
    """Filters of the list."""

    category: Annotated[str | None, Field(max_length=100)] = None
    config_type: ConfigType | None = None
    q: Annotated[str | None, Field(min_length=1, max_length=200, description="Part of a key or a description.")] = None
    is_public: bool | None = None


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class CreateSettingRequest(SettingDefinition):
    """A new setting. Without a value it starts with its default."""

    model_config = ConfigDict(strict=True)

    key: SettingKey
    value: Any = None
    default_value: Any = None
    reason: Reason | None = None


class PatchSettingRequest(_Body):
    """The members of the definition that change; `json_schema` and `default_value` become absent by null."""

    value_type: ValueType | None = None
    category: Category | None = None
    config_type: ConfigType | None = None
    description: Description | None = None
    json_schema: dict[str, Any] | None = None
    default_value: Any = None
    is_public: bool | None = None
    is_encrypted: bool | None = None
    is_sensitive: bool | None = None
    allow_override: bool | None = None
    requires_approval: bool | None = None
    reason: Reason | None = None


class PutSettingRequest(PatchSettingRequest):
    """The value alone, or with `value_type` the whole setting."""

    value: Any = None


class RollbackRequest(_Body):
    """The version whose value is wanted again."""

    version: Version
    reason: Reason | None = None


class SettingsResponse(ListResponse):
    """One page of settings."""

    settings: list[SettingResponse]


class PastSettingResponse(BaseModel):
    """One version of a setting: what its value was, who made it so, and why."""

    version: int
    value: Any
    changed_by: str | None
    changed_at: datetime
    reason: str | None
    operation_id: str | None
    step: str


class SettingHistoryResponse(ListResponse):
    """The versions of a setting, newest first."""

    history: list[PastSettingResponse]


class CategoryResponse(BaseModel):
    """A category and how many settings it has."""

    category: str
    count: int


class CategoriesResponse(ListResponse):
    """The categories that occur."""

    categories: list[CategoryResponse]


class PublicSettingResponse(BaseModel):
    """What anybody may know of a public setting."""

    key: str
    value: Any
    value_type: ValueType
    category: str
    description: str
    version: int
    updated_at: datetime


class PublicSettingsResponse(ListResponse):
    """All public settings."""

    settings: list[PublicSettingResponse]
