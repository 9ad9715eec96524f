"""Values: what a setting of each type accepts, and the one JSON text that a value is stored as.

A value comes typed (`1000`) or in its string form (`"1000"`) and is kept typed. Converting what was converted
changes nothing. No message repeats a value, since it may be a secret.
"""

import json
import re
from decimal import Decimal
from math import isfinite
from typing import Final, NoReturn, assert_never

from libs.common.json_schema.shape import Json
from services.settings.models.errors import InvalidValue
from services.settings.models.kinds import ValueType

MOST_VALUE_BYTES: Final = 20_000
MOST_TEXT_BYTES: Final = 6 * MOST_VALUE_BYTES + 2
"""JSON text of a value within its limit may be longer than it, since every character may come as `\\uXXXX`."""
MOST_DEPTH: Final = 32
MOST_ITEMS: Final = 10_000
LEAST_INTEGER: Final = -(2**63)
MOST_INTEGER: Final = 2**63 - 1

_INTEGER = re.compile(r"-?(0|[1-9][0-9]*)")
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_MOST_DIGITS = 400
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_BOOLEANS = {"true": True, "false": False}


def parse(text: bytes | str) -> Json:
    """The value of a JSON text (RFC 8259). Raises `InvalidValue` for what JSON is not, and for what would not be kept exactly."""
    if len(text) > MOST_TEXT_BYTES:
        raise too_long()
    try:
        value: Json = json.loads(
            text.decode() if isinstance(text, bytes) else text,
            parse_float=_exact_float,
            parse_int=_whole,
            parse_constant=_refuse_constant,
            object_pairs_hook=_unique,
        )
    except RecursionError:
        raise too_deep() from None
    except ValueError:
        raise InvalidValue("the value must be JSON") from None
    return value


def typed(value: Json, value_type: ValueType) -> Json:
    """`value` as a value of this type. Raises `InvalidValue` when it does not fit; never rounds and never guesses."""
    match value_type:
        case "string":
            converted: Json = _text(value)
        case "integer":
            converted = _integer(value)
        case "number":
            converted = _number(value)
        case "boolean":
            converted = _boolean(value)
        case "json":
            converted = _json(value)
        case "string_list":
            converted = _string_list(value)
        case "secret":
            converted = _secret(value)
        case _:
            assert_never(value_type)
    _check_storable(converted)
    return converted


def stored(value: Json) -> str:
    """The JSON text that a typed value is stored as. Raises `InvalidValue` over 20,000 bytes."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    if len(text) > MOST_VALUE_BYTES or len(text.encode()) > MOST_VALUE_BYTES:
        raise too_long()
    return text


def loaded(text: str) -> Json:
    """The value of a text that `stored` wrote."""
    value: Json = json.loads(text)
    return value


def too_long() -> InvalidValue:
    """The refusal of a value over its limit."""
    return InvalidValue(f"a value must be at most {MOST_VALUE_BYTES} bytes")


def too_deep() -> InvalidValue:
    """The refusal of a value nested too deep."""
    return InvalidValue(f"a value must be nested at most {MOST_DEPTH} levels deep")


def _text(value: Json) -> str:
    if not isinstance(value, str):
        raise InvalidValue("a string value must be a string")
    return value


def _integer(value: Json) -> int:
    if isinstance(value, str) and len(value) <= 20 and _INTEGER.fullmatch(value):
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not LEAST_INTEGER <= value <= MOST_INTEGER:
        raise InvalidValue("an integer value must be a whole number of at most 64 bits")
    return value


def _number(value: Json) -> int | float:
    if isinstance(value, str):
        if len(value) > _MOST_DIGITS or not _NUMBER.fullmatch(value):
            raise InvalidValue("a number value must be a JSON number")
        value = int(value) if _INTEGER.fullmatch(value) else _exact_float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidValue("a number value must be a JSON number")
    if isinstance(value, int) and not LEAST_INTEGER <= value <= MOST_INTEGER:
        value = _exact_float(str(value))
    if not isfinite(value):
        raise _inexact()
    return value


def _boolean(value: Json) -> bool:
    if isinstance(value, str):
        value = _BOOLEANS.get(value)
    if not isinstance(value, bool):
        raise InvalidValue("a boolean value must be true or false")
    return value


def _json(value: Json) -> Json:
    """Any JSON. A string that begins as an object or an array does is read as its text; every other string is itself."""
    if isinstance(value, str) and value.lstrip(" \t\r\n")[:1] in {"{", "["}:
        return parse(value)
    return value


def _string_list(value: Json) -> list[Json]:
    found = _json(value)
    if not isinstance(found, list) or not all(isinstance(item, str) for item in found):
        raise InvalidValue("a string_list value must be an array of strings")
    return found


def _secret(value: Json) -> str:
    if not isinstance(value, str) or not value:
        raise InvalidValue("a secret value must be a string that is not empty")
    return value


def _check_storable(value: Json) -> None:
    """Depth, number of items, and characters and numbers that Postgres or another reader of JSON would not keep."""
    level: list[Json] = [value]
    items = 0
    for _ in range(MOST_DEPTH + 1):
        inner: list[Json] = []
        for item in level:
            _check_one(item)
            if isinstance(item, dict):
                for name in item:
                    _check_one(name)
                inner.extend(item.values())
            elif isinstance(item, list):
                inner.extend(item)
        items += len(inner)
        if items > MOST_ITEMS:
            raise InvalidValue(f"a value must hold at most {MOST_ITEMS} items")
        if not inner:
            return
        level = inner
    raise too_deep()


def _check_one(item: Json) -> None:
    if isinstance(item, str):
        if _UNSTORABLE.search(item):
            raise InvalidValue("a value must be text without NUL characters and lone surrogates")
    elif isinstance(item, float):
        if not isfinite(item):
            raise _inexact()
    elif isinstance(item, int) and not LEAST_INTEGER <= item <= MOST_INTEGER:
        raise InvalidValue("a whole number must be of at most 64 bits")


def _exact_float(text: str) -> float:
    """The double that this decimal text names, when its shortest decimal is the same number (RFC 8259, section 6)."""
    if len(text) > _MOST_DIGITS:
        raise _inexact()
    found = float(text)
    try:
        is_exact = isfinite(found) and Decimal(repr(found)) == Decimal(text)
    except ArithmeticError:  # An exponent beyond what decimals have.
        is_exact = False
    if not is_exact:
        raise _inexact()
    return found


def _whole(text: str) -> int:
    if len(text) > _MOST_DIGITS:
        raise _inexact()
    return int(text)


def _inexact() -> InvalidValue:
    return InvalidValue("a number must be finite and have no more digits than a 64-bit number keeps")


def _refuse_constant(_name: str) -> NoReturn:
    raise InvalidValue("NaN and Infinity are no JSON numbers")


def _unique(members: list[tuple[str, Json]]) -> dict[str, Json]:
    found = dict(members)
    if len(found) != len(members):
        raise InvalidValue("an object must not name a member twice")
    return found
