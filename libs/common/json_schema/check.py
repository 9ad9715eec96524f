"""Holding a value to a schema of the subset (JSON Schema draft 2020-12).

Every keyword outside the subset is refused when the schema is given, so that none is silently without effect;
`$ref` is among them, so nothing is ever fetched. Patterns run on an expression engine that never backtracks.
No answer repeats a value, or a member's name that the schema does not name.
"""

import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Annotated, Final

from pydantic import StringConstraints, TypeAdapter, ValidationError
from pydantic_core import SchemaError

from libs.common.json_schema.shape import ANY_OF, Json, Schema

MOST_STEPS: Final = 100_000
"""Pairs of one schema and one item that a check may look at."""
MOST_NAME: Final = 100
"""Characters of a member's name that an answer repeats."""
MOST_PATTERNS: Final = 256
"""Expressions that stay compiled."""


class _TooLarge(Exception):
    """The check would take more than `MOST_STEPS`."""


def broken_rule(value: Json, schema: Schema) -> str | None:
    """Why `value` does not fit the (checked) `schema`: the place and the rule; None when it fits.

    What would take more than `MOST_STEPS` does not fit.
    """
    try:
        return _Check().broken(value, schema, "")
    except _TooLarge:
        return "it is too large to be checked"


def is_pattern(text: str) -> bool:
    """Whether the expression engine takes this pattern."""
    try:
        _pattern(text)
    except SchemaError:
        return False
    return True


class _Check:
    """One value against one schema, with a bound on the work."""

    def __init__(self) -> None:
        self._steps = 0

    def broken(self, value: Json, schema: Json, place: str) -> str | None:
        """The first rule that `value` breaks, with its place, or None."""
        if isinstance(schema, bool):
            return None if schema else f"{place or 'the value'} is not allowed"
        assert isinstance(schema, dict)
        self.count(_cost(value, schema))
        for keyword, argument in schema.items():
            rule = _RULES.get(keyword)
            if rule is not None and not rule(value, argument):
                return f"{place or 'the value'} breaks {keyword}{_lacking(value, argument) if keyword == 'required' else ''}"
        return (
            self._broken_choice(value, schema, place)
            or (self._broken_items(value, schema, place) if isinstance(value, list) else None)
            or (self._broken_members(value, schema, place) if isinstance(value, dict) else None)
        )

    def count(self, steps: int) -> None:
        """Spend some of the work that one check may cost."""
        self._steps += steps
        if self._steps > MOST_STEPS:
            raise _TooLarge

    def _broken_choice(self, value: Json, schema: Schema, place: str) -> str | None:
        for keyword in ANY_OF & schema.keys():
            choices = schema[keyword]
            assert isinstance(choices, list)
            fitting = sum(self.broken(value, choice, place) is None for choice in choices)
            enough = {"allOf": fitting == len(choices), "anyOf": fitting > 0, "oneOf": fitting == 1}[keyword]
            if not enough:
                return f"{place or 'the value'} breaks {keyword}"
        if "not" in schema and self.broken(value, schema["not"], place) is None:
            return f"{place or 'the value'} breaks not"
        return None

    def _broken_items(self, value: list[Json], schema: Schema, place: str) -> str | None:
        if "items" not in schema:
            return None
        found = (self.broken(item, schema["items"], f"{place}/{index}") for index, item in enumerate(value))
        return next((one for one in found if one is not None), None)

    def _broken_members(self, value: dict[str, Json], schema: Schema, place: str) -> str | None:
        properties = schema.get("properties", {})
        assert isinstance(properties, dict)
        rest = schema.get("additionalProperties", True)
        for name, member in value.items():
            known = name in properties
            below = f"{place}/{name}" if known else f"{place}/*"
            broken = self.broken(member, properties[name] if known else rest, below)
            if broken is not None:
                return broken
        return None


def _cost(value: Json, schema: Schema) -> int:
    """Steps for one pair: the rules that compare whole values cost as much as those are long."""
    if _COMPARING.isdisjoint(schema):
        return 1 + len(schema)
    choices = schema.get("enum")
    return 1 + len(schema) + (len(choices) if isinstance(choices, list) else 0) + len(json.dumps(value)) // 8


def _has_type(value: Json, wanted: Json) -> bool:
    return any(_TYPES[str(name)](value) for name in (wanted if isinstance(wanted, list) else [wanted]))


def _is_number(value: Json) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_TYPES: Mapping[str, Callable[[Json], bool]] = {
    "null": lambda value: value is None,
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: _is_number(value) and (isinstance(value, int) or float(str(value)).is_integer()),
    "number": _is_number,
    "string": lambda value: isinstance(value, str),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
}


def _compare(value: Json, bound: Json, holds: Callable[[Decimal, Decimal], bool]) -> bool:
    """Whether a number keeps a bound, decided on the decimals as they are written; other types have none."""
    return not _is_number(value) or holds(Decimal(str(value)), Decimal(str(bound)))


def is_multiple(value: Decimal, step: Decimal) -> bool:
    """Whether `value` is a whole number of `step`s, exactly."""
    top, bottom = value.as_integer_ratio(), step.as_integer_ratio()
    return (top[0] * bottom[1]) % (top[1] * bottom[0]) == 0


def _size(value: Json, kind: type, bound: Json, *, least: bool) -> bool:
    if not isinstance(value, kind):
        return True
    assert isinstance(bound, int)
    size = len(value)  # type: ignore[arg-type]
    return size >= bound if least else size <= bound


def _matches(value: Json, pattern: Json) -> bool:
    if not isinstance(value, str):
        return True
    try:
        _pattern(str(pattern)).validate_python(value)
    except ValidationError:
        return False
    return True


@lru_cache(maxsize=MOST_PATTERNS)
def _pattern(text: str) -> TypeAdapter[str]:
    return TypeAdapter(Annotated[str, StringConstraints(pattern=text)])


def canonical(value: Json) -> str:
    """One text for all values that JSON Schema calls equal: 1 and 1.0 are, 1 and true are not."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, list):
        return f"[{','.join(map(canonical, value))}]"
    if isinstance(value, dict):
        return f"{{{','.join(f'{json.dumps(name)}:{canonical(value[name])}' for name in sorted(value))}}}"
    return json.dumps(value)


def _is_one_of(value: Json, choices: Json) -> bool:
    assert isinstance(choices, list)
    wanted = canonical(value)
    return any(canonical(choice) == wanted for choice in choices)


def _are_unique(value: Json, wanted: Json) -> bool:
    return not (wanted is True and isinstance(value, list)) or len({canonical(item) for item in value}) == len(value)


def _lacking(value: Json, names: Json) -> str:
    """Names which member is missing: the schema's word, and none of the value's."""
    assert isinstance(value, dict)
    assert isinstance(names, list)
    return f": {next(str(name) for name in names if name not in value)[:MOST_NAME]} is missing"


def _has_members(value: Json, names: Json) -> bool:
    assert isinstance(names, list)
    return not isinstance(value, dict) or all(name in value for name in names)


_COMPARING = frozenset({"enum", "const", "uniqueItems"})
_RULES: Mapping[str, Callable[[Json, Json], bool]] = {
    "type": _has_type,
    "const": lambda value, wanted: canonical(value) == canonical(wanted),
    "enum": _is_one_of,
    "minimum": lambda value, bound: _compare(value, bound, lambda one, other: one >= other),
    "maximum": lambda value, bound: _compare(value, bound, lambda one, other: one <= other),
    "exclusiveMinimum": lambda value, bound: _compare(value, bound, lambda one, other: one > other),
    "exclusiveMaximum": lambda value, bound: _compare(value, bound, lambda one, other: one < other),
    "multipleOf": lambda value, step: _compare(value, step, is_multiple),
    "minLength": lambda value, bound: _size(value, str, bound, least=True),
    "maxLength": lambda value, bound: _size(value, str, bound, least=False),
    "pattern": _matches,
    "minItems": lambda value, bound: _size(value, list, bound, least=True),
    "maxItems": lambda value, bound: _size(value, list, bound, least=False),
    "uniqueItems": _are_unique,
    "minProperties": lambda value, bound: _size(value, dict, bound, least=True),
    "maxProperties": lambda value, bound: _size(value, dict, bound, least=False),
    "required": _has_members,
}
