"""A setting, its definition and its past, as the service holds them: values are JSON texts, secrets are references."""

from dataclasses import dataclass, field
from datetime import datetime

from libs.common.json_schema.check import broken_rule
from libs.common.json_schema.shape import Json
from services.settings.models.errors import InvalidValue
from services.settings.models.kinds import ConfigType, Step, ValueType
from services.settings.models.values import loaded, stored, typed

RESERVED_KEYS = frozenset({"bulk", "categories", "export", "import", "public", "scheduled", "secrets"})
"""Keys that the API's own paths below `/settings` would hide."""


@dataclass(frozen=True, slots=True)
class Definition:
    """What a setting is. `json_schema` and `default_value` are JSON texts."""

    value_type: ValueType
    category: str = "general"
    config_type: ConfigType = "setting"
    description: str = ""
    json_schema: str | None = None
    default_value: str | None = field(default=None, repr=False)
    is_public: bool = False
    is_encrypted: bool = False
    is_sensitive: bool = False
    allow_override: bool = False
    requires_approval: bool = False

    @property
    def is_hidden(self) -> bool:
        """Whether no event may show the value."""
        return self.is_encrypted or self.is_sensitive


@dataclass(frozen=True, slots=True)
class SecretReference:
    """Which version of a setting's secret holds, and what may be shown of it."""

    version: int
    hint: str | None


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting at one version. `value` is None exactly when it is encrypted; `secret` is None while none is set."""

    key: str
    definition: Definition
    value: str | None = field(repr=False)
    secret: SecretReference | None
    version: int
    updated_at: datetime
    updated_by: str | None


@dataclass(frozen=True, slots=True)
class Given:
    """A value as a caller gave it: JSON, not yet of the setting's type."""

    value: Json = field(repr=False)


@dataclass(frozen=True, slots=True)
class Past:
    """One version in a setting's history."""

    version: int
    step: Step
    value: str | None = field(repr=False)
    is_encrypted: bool
    secret: SecretReference | None
    changed_by: str | None
    changed_at: datetime
    reason: str | None
    operation_id: str | None


def fitted(value: Json, definition: Definition) -> str:
    """The JSON text of `value` in the definition's type, once it also fits the schema. Raises `InvalidValue`."""
    converted = typed(value, definition.value_type)
    text = stored(converted)
    if definition.json_schema is not None:
        schema = loaded(definition.json_schema)
        assert isinstance(schema, dict)
        broken = broken_rule(converted, schema)
        if broken is not None:
            raise InvalidValue(f"the value does not fit the setting's json_schema: {broken}")
    return text
