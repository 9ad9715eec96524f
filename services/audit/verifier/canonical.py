"""Whether bytes are JSON in the canonical form of RFC 8785: what parsing forgets of them must be nothing.

Without a backslash each string has one spelling, and so has each whole number but -0; then a blank, a member that comes
again or -0 only make a text longer than its value is in canonical form, and the order of members is all that remains to
be seen. With a backslash the value is written again, and must be the same text. Two things are rare and written here, not
by the standard library's encoder: RFC 8785 writes fractions as ECMAScript does, and sorts members by UTF-16 code units, in
which U+10000 and above come before U+E000.
"""

import json
import math
from collections.abc import Callable
from functools import lru_cache
from json.encoder import encode_basestring as _quoted
from typing import NoReturn

MOST_INTEGER = 2**53
Order = Callable[[str], bytes] | None
"""What members are sorted by; None for code points, which is the same for ASCII."""


class NotCanonical(ValueError):
    """The bytes are not JSON, or not in canonical form."""


class _Fraction(Exception):
    """The text has a number that is no integer."""


def parse_canonical(data: bytes) -> object:
    """The value of canonical JSON. Raises NotCanonical for anything else, never another error."""
    try:
        text = data.decode()
        try:
            value, end = _INTEGERS.raw_decode(text)
            same = _is_same(text, value)
        except _Fraction:
            value, end = _NUMBERS.raw_decode(text)
            same = _written(value) == text
        if not same or end != len(text):
            raise NotCanonical("its JSON is not in canonical form")
    except NotCanonical:
        raise
    except (ValueError, RecursionError) as error:
        raise NotCanonical(f"it is not JSON: {type(error).__name__}") from error
    parsed: object = value
    return parsed


def _is_same(text: str, value: object) -> bool:
    """Whether a text, of which this is the value, is canonical. It has no fractions."""
    if "\\" not in text:
        return _length(value, None if text.isascii() else _units) == len(text)
    return (_PLAIN.encode(value) if text.isascii() else _written(value)) == text


def _length(value: object, order: Order) -> int:
    """How long a value is in canonical form, if nothing in it needs a backslash. Members out of order raise NotCanonical."""
    length = 0
    values = [value]
    for one in values:  # which grows as it is read
        if type(one) is str:
            length += len(one) + 2
        elif one is None or one is True:
            length += 4
        elif type(one) is dict:
            length += _length_of_names(tuple(one), order)
            values += one.values()
        elif type(one) is list:
            length += max(len(one) + 1, 2)
            values += one
        else:
            length += 5 if one is False else len(str(one))
    return length


@lru_cache(maxsize=64)
def _length_of_names(names: tuple[str, ...], order: Order) -> int:
    """How long an object is without its values; the same few lists of names come again and again."""
    if list(names) != sorted(names, key=order):
        raise NotCanonical("its JSON is not in canonical form")
    return max(4 * len(names) + 1, 2) + sum(map(len, names))


def _units(name: str) -> bytes:
    """What members are sorted by: UTF-16 code units."""
    return name.encode("utf-16-be")


def _refuse_constant(name: str) -> NoReturn:
    raise NotCanonical(f"{name} is not JSON")


def _found_fraction(text: str) -> NoReturn:
    raise _Fraction


def _integer(text: str) -> int:
    if len(text) > 17 or abs(number := int(text)) > MOST_INTEGER:
        raise NotCanonical("an integer is beyond 2^53")
    return number


_INTEGERS = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_found_fraction, parse_int=_integer)
_NUMBERS = json.JSONDecoder(parse_constant=_refuse_constant, parse_int=_integer)
_PLAIN = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _written(value: object) -> str:
    match value:
        case None | True | False:
            return {None: "null", True: "true", False: "false"}[value]
        case str():
            return _quoted(value)
        case int():
            return str(value)
        case float():
            return number_text(value)
        case list():
            return "[" + ",".join(map(_written, value)) + "]"
        case dict():
            names = sorted(value, key=_units)
            return "{" + ",".join(f"{_quoted(name)}:{_written(value[name])}" for name in names) + "}"
        case _:
            raise NotCanonical(f"{type(value).__name__} is not JSON")


def number_text(number: float) -> str:
    """A number as ECMAScript writes it (ECMA-262, Number::toString; RFC 8785, 3.2.2.3)."""
    if not math.isfinite(number):
        raise NotCanonical("a number is not finite")
    if number == 0:
        return "0"
    sign, number = ("-", -number) if number < 0 else ("", number)
    mantissa, _, exponent = f"{number!r}e".partition("e")
    whole, _, fraction = mantissa.partition(".")
    fraction = "" if fraction == "0" else fraction
    point = len(whole) + int(exponent.rstrip("e") or 0)
    digits = whole + fraction
    point -= len(digits) - len(digits.lstrip("0"))
    digits = digits.strip("0")
    return sign + _placed(digits, point)


def _placed(digits: str, point: int) -> str:
    """The digits with their decimal point after the first `point` of them, as ECMAScript prefers it."""
    if len(digits) <= point <= 21:
        return digits + "0" * (point - len(digits))
    if 0 < point <= 21:
        return f"{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return "0." + "0" * -point + digits
    mantissa = digits[0] + ("." + digits[1:] if len(digits) > 1 else "")
    return f"{mantissa}e{point - 1:+d}"
