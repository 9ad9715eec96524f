"""The closed sets of the settings domain."""

from enum import StrEnum
from typing import Literal

ValueType = Literal["string", "integer", "number", "boolean", "json", "string_list", "secret"]
ConfigType = Literal["setting", "feature_flag", "threshold", "integration"]

VALUE_TYPES: tuple[ValueType, ...] = ("string", "integer", "number", "boolean", "json", "string_list", "secret")
CONFIG_TYPES: tuple[ConfigType, ...] = ("setting", "feature_flag", "threshold", "integration")


class Step(StrEnum):
    """What happened to a setting at one version of its history."""

    CREATED = "created"
    CHANGED = "changed"
    DEFINED = "defined"
    ROLLED_BACK = "rolled_back"
    DELETED = "deleted"
