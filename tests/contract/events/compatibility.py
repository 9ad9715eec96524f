"""Says how a message type's JSON Schema breaks the one that was released: pure."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

RELEASED = Path(__file__).parent / "released"
Schema = Mapping[str, Any]

_UPPER = ("maxLength", "maxItems", "maxProperties", "maximum", "exclusiveMaximum")
_LOWER = ("minLength", "minItems", "minProperties", "minimum", "exclusiveMinimum")


def released() -> dict[str, Schema]:
    """The schema of every type as it was released, by type."""
    return {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in sorted(RELEASED.glob("*.json"))}


def breaks(old: Schema, new: Schema) -> list[str]:
    """Every incompatible change, as `path: what`. New optional members and new enum values are compatible."""
    return list(_differences(old, new, old.get("$defs", {}), new.get("$defs", {}), "data"))


def _differences(old: Schema, new: Schema, olds: Schema, news: Schema, path: str) -> Iterator[str]:
    old_kinds, new_kinds = _kinds(old, olds), _kinds(new, news)
    if set(old_kinds) != set(new_kinds):
        yield f"{path}: retyped from {_named(old_kinds)} to {_named(new_kinds)}"
    for kind in sorted(set(old_kinds) & set(new_kinds)):
        before, after = old_kinds[kind], new_kinds[kind]
        yield from _restrictions(before, after, path)
        if kind == "object":
            yield from _members(before, after, olds, news, path)
        if kind == "array" and "items" in before:
            yield from _differences(before["items"], after.get("items", {}), olds, news, f"{path}[]")


def _members(old: Schema, new: Schema, olds: Schema, news: Schema, path: str) -> Iterator[str]:
    before, after = old.get("properties", {}), new.get("properties", {})
    for name, schema in before.items():
        if name not in after:
            yield f"{path}.{name}: removed"
        else:
            yield from _differences(schema, after[name], olds, news, f"{path}.{name}")
    for name in sorted(set(new.get("required", ())) - set(old.get("required", ()))):
        yield f"{path}.{name}: newly required"
    if new.get("additionalProperties") is False and old.get("additionalProperties", True) is not False:
        yield f"{path}: no longer takes further members"
    if isinstance(old.get("additionalProperties"), dict) and isinstance(new.get("additionalProperties"), dict):
        yield from _differences(old["additionalProperties"], new["additionalProperties"], olds, news, f"{path}.*")


def _restrictions(old: Schema, new: Schema, path: str) -> Iterator[str]:
    before, after = _values(old), _values(new)
    if after is not None and (before is None or not before <= after):
        yield f"{path}: takes only {sorted(after)}"
    for name in _UPPER:
        if name in new and new[name] < old.get(name, float("inf")):
            yield f"{path}: {name} lowered to {new[name]}"
    for name in _LOWER:
        if name in new and new[name] > old.get(name, float("-inf")):
            yield f"{path}: {name} raised to {new[name]}"
    if "pattern" in new and new["pattern"] != old.get("pattern"):
        yield f"{path}: other pattern"


def _values(schema: Schema) -> set[str] | None:
    if "const" in schema:
        return {json.dumps(schema["const"])}
    return {json.dumps(value) for value in schema["enum"]} if "enum" in schema else None


def _kinds(schema: Schema, definitions: Schema) -> dict[str, Schema]:
    """The alternatives of a schema by their JSON type; `any` where it takes everything."""
    if "$ref" in schema:
        return _kinds(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    if "anyOf" in schema:
        return {kind: found for one in schema["anyOf"] for kind, found in _kinds(one, definitions).items()}
    kind = schema.get("type")
    if kind is None and _values(schema) is not None:
        kind = "string"
    return {kind or "any": schema}


def _named(kinds: Mapping[str, Schema]) -> str:
    return " or ".join(sorted(kinds))
