"""Definitions: what a setting may be, and how one is made or edited."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from libs.common.json_schema.check import is_pattern
from libs.common.json_schema.shape import Json, Schema, check_schema
from services.settings.models.errors import InvalidDefinition
from services.settings.models.settings import Definition, Given, fitted
from services.settings.models.values import loaded, stored, typed


@dataclass(frozen=True, slots=True)
class DefinitionEdit:
    """Members of a definition that change. `schema` and `default` are None where they stay; `clear` names those that go."""

    members: Mapping[str, str | bool]
    schema: Schema | None = None
    default: Given | None = None
    clear: frozenset[str] = frozenset()


def defined(definition: Definition, *, schema: Schema | None, default: Json) -> Definition:
    """`definition` with its schema and default, checked as a whole; a default of None is none.

    Raises `InvalidDefinition`, `InvalidSchema`, or `InvalidValue` when the default does not fit.
    """
    is_encrypted = definition.is_encrypted or definition.value_type == "secret"
    if definition.is_public and (is_encrypted or definition.is_sensitive):
        raise InvalidDefinition("a public setting can be neither encrypted nor sensitive")
    if is_encrypted and default is not None:
        raise InvalidDefinition("an encrypted setting has no default_value")
    checked = replace(definition, is_encrypted=is_encrypted, json_schema=_schema_text(schema), default_value=None)
    return checked if default is None else replace(checked, default_value=fitted(default, checked))


def edited(definition: Definition, edit: DefinitionEdit) -> Definition:
    """`definition` after the edit, checked as `defined` does."""
    schema = edit.schema
    if schema is None and definition.json_schema is not None and "json_schema" not in edit.clear:
        kept = loaded(definition.json_schema)
        assert isinstance(kept, dict)
        schema = kept
    default = edit.default.value if edit.default is not None else None
    if edit.default is None and definition.default_value is not None and "default_value" not in edit.clear:
        default = loaded(definition.default_value)
    return defined(replace(definition, **edit.members), schema=schema, default=default)  # type: ignore[arg-type]


def _schema_text(schema: Schema | None) -> str | None:
    if schema is None:
        return None
    check_schema(schema, is_pattern=is_pattern)
    return stored(typed(schema, "json"))
