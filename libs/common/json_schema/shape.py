"""Which JSON Schemas are taken: those of the keywords that `check` knows, well-formed and of bounded size."""

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from libs.common.errors import Invalid

Json: TypeAlias = bool | int | float | str | list["Json"] | dict[str, "Json"] | None
Schema: TypeAlias = dict[str, Json]

MOST_SCHEMAS: Final = 500
MOST_DEPTH: Final = 16
MOST_PATTERN: Final = 500
MOST_CHOICES: Final = 1000

TYPES: Final = frozenset({"null", "boolean", "integer", "number", "string", "array", "object"})
ANY_OF: Final = frozenset({"allOf", "anyOf", "oneOf"})


class InvalidSchema(Invalid):
    """No schema that is taken; the message names the place and the rule."""

    default_code = "invalid_json_schema"


def check_schema(schema: Schema, *, is_pattern: Callable[[str], bool]) -> None:
    """Raise `InvalidSchema` unless every keyword is known and well-formed."""
    level: list[tuple[str, Json]] = [("", schema)]
    seen = 0
    for _ in range(MOST_DEPTH):
        seen += len(level)
        if seen > MOST_SCHEMAS:
            raise _refused("", f"must hold at most {MOST_SCHEMAS} schemas")
        level = [inner for place, one in level for inner in _inner(place, one, is_pattern)]
        if not level:
            return
    raise _refused("", f"must be nested at most {MOST_DEPTH} levels deep")


def _inner(place: str, schema: Json, is_pattern: Callable[[str], bool]) -> list[tuple[str, Json]]:
    """Check one schema by itself; its subschemas are returned with their places."""
    if isinstance(schema, bool):
        return []
    if not isinstance(schema, dict):
        raise _refused(place, "must be an object or a boolean")
    found: list[tuple[str, Json]] = []
    for keyword, argument in schema.items():
        where = f"{place}/{keyword}"
        if keyword in {"items", "additionalProperties", "not"}:
            found.append((where, argument))
        elif keyword in ANY_OF and isinstance(argument, list) and argument:
            found.extend((f"{where}/{index}", one) for index, one in enumerate(argument))
        elif keyword == "properties" and isinstance(argument, dict):
            found.extend((f"{where}/{name}", one) for name, one in argument.items())
        elif keyword == "pattern":
            _check_pattern(where, argument, is_pattern)
        elif keyword not in _WELL_FORMED:
            raise _refused(
                place,
                f"the keyword {keyword[:50]} is not supported" if keyword not in _NESTED else f"{keyword} is malformed",
            )
        elif not _WELL_FORMED[keyword](argument):
            raise _refused(where, "is malformed")
    return found


def _check_pattern(place: str, argument: Json, is_pattern: Callable[[str], bool]) -> None:
    if not isinstance(argument, str) or len(argument) > MOST_PATTERN:
        raise _refused(place, f"must be a string of at most {MOST_PATTERN} characters")
    if not is_pattern(argument):
        raise _refused(place, "must be a regular expression without look-around and back-references")


def _is_count(argument: Json) -> bool:
    return isinstance(argument, int) and not isinstance(argument, bool) and argument >= 0


def _is_number(argument: Json) -> bool:
    return isinstance(argument, int | float) and not isinstance(argument, bool)


def _is_step(argument: Json) -> bool:
    return isinstance(argument, int | float) and not isinstance(argument, bool) and argument > 0


def _is_type(argument: Json) -> bool:
    names = argument if isinstance(argument, list) else [argument]
    return bool(names) and all(isinstance(name, str) and name in TYPES for name in names)


def _are_names(argument: Json) -> bool:
    return isinstance(argument, list) and all(isinstance(name, str) for name in argument)


def _are_choices(argument: Json) -> bool:
    return isinstance(argument, list) and 0 < len(argument) <= MOST_CHOICES


def _is_anything(_argument: Json) -> bool:
    return True


_NESTED = ANY_OF | {"properties"}
_ANNOTATIONS = (
    "$schema", "$comment", "title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly", "format",
)  # fmt: skip
_WELL_FORMED: Mapping[str, Callable[[Json], bool]] = {
    "type": _is_type,
    "const": _is_anything,
    "enum": _are_choices,
    "required": _are_names,
    "uniqueItems": lambda argument: isinstance(argument, bool),
    "multipleOf": _is_step,
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), _is_number),
    **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"), _is_count),
    **dict.fromkeys(_ANNOTATIONS, _is_anything),
}


def _refused(place: str, rule: str) -> InvalidSchema:
    return InvalidSchema(f"json_schema{place[:200]}: {rule}")
