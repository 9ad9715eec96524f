"""What each type accepts: the table, and what holds for every value."""

import json
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.json_schema.shape import Json
from services.settings.models.errors import InvalidValue
from services.settings.models.kinds import VALUE_TYPES, ValueType
from services.settings.models.values import loaded, parse, stored, typed

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40)
INTEGERS = st.integers(-(2**63), 2**63 - 1)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | INTEGERS | FLOATS | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)
ANYTHING = JSON | st.text() | st.integers() | st.floats()


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        ("1000", "integer", 1000), (1000, "integer", 1000), (5.0, "integer", 5), ("-0", "integer", 0), (0, "integer", 0),
        (-(2**63), "integer", -(2**63)), ("9223372036854775807", "integer", 2**63 - 1),
        ("1.5", "number", 1.5), ("1000", "number", 1000), (0.1, "number", 0.1), ("1e3", "number", 1000.0), (0, "number", 0),
        ("1000000000000000000000000000000", "number", 1e30), ("9007199254740993", "number", 9007199254740993),
        ("true", "boolean", True), ("false", "boolean", False), (False, "boolean", False),
        ("", "string", ""), ("1000", "string", "1000"), (" x ", "string", " x "),
        ('{"a": [1, null]}', "json", {"a": [1, None]}), (" [1]", "json", [1]), ("plain", "json", "plain"),
        ("123", "json", "123"), (None, "json", None), (0, "json", 0), ("", "json", ""),
        (["a", ""], "string_list", ["a", ""]), ('["a"]', "string_list", ["a"]), ([], "string_list", []),
        ("hunter2", "secret", "hunter2"),
    ],
)  # fmt: skip
def test_what_fits_is_converted(value: Json, kind: ValueType, expected: Json) -> None:
    found = typed(value, kind)
    assert (found, type(found)) == (expected, type(expected))


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("", "integer"), ("1.0", "integer"), ("1e3", "integer"), (" 1", "integer"), ("+1", "integer"), ("007", "integer"),
        ("1_000", "integer"), ("\u0661", "integer"), (1.5, "integer"), (True, "integer"), (None, "integer"), ([1], "integer"),
        (2**63, "integer"), (-(2**63) - 1, "integer"), (1e300, "integer"), ("9" * 5000, "integer"),
        ("", "number"), ("NaN", "number"), ("Infinity", "number"), ("1e999", "number"), (math.inf, "number"),
        (math.nan, "number"), (True, "number"), ("0.12345678901234567890", "number"), ("1e-400", "number"), (".5", "number"),
        ("1.", "number"), ("0x10", "number"), (2**64 + 1, "number"), ("1e-99999999999999999999", "number"), ("9" * 500, "number"),
        ("True", "boolean"), ("1", "boolean"), (1, "boolean"), (0, "boolean"), ("", "boolean"), (None, "boolean"),
        (5, "string"), (None, "string"), (True, "string"), ([], "string"), ("a\0b", "string"), ("\ud800", "string"),
        ("{broken", "json"), ("[1,]", "json"), ('{"a":1,"a":2}', "json"), ("[NaN]", "json"), ([math.inf], "json"),
        ({"a\0": 1}, "json"), ([2**64], "json"), (["\ud800"], "json"),
        ("a,b", "string_list"), ([1], "string_list"), (None, "string_list"), ({"a": 1}, "string_list"), ([["a"]], "string_list"),
        ("", "secret"), (5, "secret"), (None, "secret"), (["x"], "secret"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(value: Json, kind: ValueType) -> None:
    with pytest.raises(InvalidValue):
        typed(value, kind)


@given(INTEGERS)
def test_an_integer_and_its_text_are_one_value(value: int) -> None:
    assert typed(value, "integer") == typed(str(value), "integer") == value


@given(FLOATS)
def test_a_number_and_its_text_are_one_value(value: float) -> None:
    assert repr(typed(value, "number")) == repr(value)
    assert repr(typed(parse(repr(value)), "number")) == repr(value)


@given(JSON)
def test_json_and_its_text_are_one_value(value: Json) -> None:
    if isinstance(value, dict | list):
        assert typed(json.dumps(value), "json") == typed(value, "json") == value


@given(ANYTHING, st.sampled_from(VALUE_TYPES))
def test_converting_again_changes_nothing(value: Any, kind: ValueType) -> None:
    try:
        once = typed(value, kind)
    except InvalidValue:
        return
    assert repr(typed(once, kind)) == repr(once)


@given(ANYTHING, st.sampled_from(VALUE_TYPES))
def test_what_is_stored_reads_back_as_it_was(value: Any, kind: ValueType) -> None:
    try:
        converted = typed(value, kind)
        text = stored(converted)
    except InvalidValue:
        return
    assert repr(loaded(text)) == repr(converted)
    assert len(text.encode()) <= 20_000


def refusal(attempt: Callable[[], object]) -> InvalidValue | None:
    """Why it was refused, None when it was not; nothing else may rise."""
    try:
        attempt()
    except InvalidValue as error:
        return error
    return None


@given(st.text(max_size=60) | st.binary(max_size=60))
def test_any_text_is_parsed_or_refused(text: str | bytes) -> None:
    refused = refusal(partial(parse, text))
    assert refused is None or refused.code == "invalid_value"


@given(st.text(min_size=12, max_size=60), st.sampled_from(VALUE_TYPES))
def test_no_refusal_repeats_the_value(value: str, kind: ValueType) -> None:
    attempts: list[Json] = [value, "{" + value, [[value]]]
    for attempt in attempts:
        refused = refusal(partial(typed, attempt, kind))
        assert refused is None or (value not in str(refused) and refused.__cause__ is None)


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"a":' * 50_000, "1" * 130_000, "[" * 200 + "]" * 200, "1e" + "9" * 1000]
)
def test_hostile_texts_are_refused(text: str) -> None:
    with pytest.raises(InvalidValue):
        typed(parse(text), "json")


def test_depth_and_items_are_limited() -> None:
    deep: Json = 1
    for _ in range(32):
        deep = [deep]
    assert typed(deep, "json") == deep
    with pytest.raises(InvalidValue, match="levels"):
        typed([deep], "json")
    with pytest.raises(InvalidValue, match="items"):
        typed([[0] * 5001, [0] * 5001], "json")


def test_a_size_counts_bytes() -> None:
    assert stored("x" * 19_998)
    for text in ("x" * 19_999, "\N{EURO SIGN}" * 6_667, "\n" * 10_000):
        with pytest.raises(InvalidValue, match="bytes"):
            stored(text)
