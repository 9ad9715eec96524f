"""The subset of JSON Schema: which schemas are taken, and what they refuse."""

from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.json_schema.check import broken_rule, is_pattern
from libs.common.json_schema.shape import InvalidSchema, check_schema
from tests.unit.settings.test_values import JSON

NAMES = st.sampled_from(["a", "b", "c"])
SMALL = st.integers(0, 3)
BOUNDS = st.integers(-3, 3) | st.sampled_from([0.5, -1.5, 2.0])
LEAVES = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["null", "boolean", "integer", "number", "string", "array", "object", ["null", "integer"]]),
        "minimum": BOUNDS, "maximum": BOUNDS, "exclusiveMinimum": BOUNDS, "exclusiveMaximum": BOUNDS,
        "multipleOf": st.sampled_from([1, 2, 0.5]), "minLength": SMALL, "maxLength": SMALL, "minItems": SMALL,
        "maxItems": SMALL, "minProperties": SMALL, "maxProperties": SMALL, "uniqueItems": st.booleans(),
        "required": st.lists(NAMES, unique=True, max_size=2), "pattern": st.sampled_from(["^a", "[0-9]+$", "b|c"]),
        "enum": st.lists(st.sampled_from([0, 1, 1.5, "a", True, False, None, [], [1]]), min_size=1, max_size=3, unique_by=repr),
        "const": st.sampled_from([0, 1, "a", True, None, {"a": 1}]),
    },
)  # fmt: skip
SCHEMAS = st.recursive(
    LEAVES,
    lambda inner: st.tuples(
        LEAVES,
        st.fixed_dictionaries(
            {},
            optional={
                "items": inner, "not": inner, "additionalProperties": inner | st.booleans(),
                "properties": st.dictionaries(NAMES, inner, max_size=2), "allOf": st.lists(inner, min_size=1, max_size=2),
                "anyOf": st.lists(inner, min_size=1, max_size=2), "oneOf": st.lists(inner, min_size=1, max_size=2),
            },
        ),
    ).map(lambda two: {**two[0], **two[1]}),
    max_leaves=5,
)  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-4, 4) | st.sampled_from([0.5, 1.0, 1.5, -1.5]) | st.sampled_from(["", "a", "ab", "b1"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


def fits(value: Any, schema: dict[str, Any]) -> bool:
    """Whether our check takes the value."""
    return broken_rule(value, schema) is None


@given(SCHEMAS, VALUES)
def test_we_decide_as_a_full_implementation_does(schema: dict[str, Any], value: Any) -> None:
    check_schema(schema, is_pattern=is_pattern)
    assert fits(value, schema) == jsonschema_rs.is_valid(schema, value)


@given(SCHEMAS, JSON)
def test_every_value_is_decided(schema: dict[str, Any], value: Any) -> None:
    assert fits(value, schema) in {True, False}


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "https://example.com/schema"}, {"$ref": "#/definitions/a"}, {"$defs": {}}, {"patternProperties": {}},
        {"unevaluatedProperties": False}, {"if": {}}, {"dependentRequired": {}}, {"minimun": 1}, {"type": "float"},
        {"type": []}, {"minimum": "1"}, {"minLength": -1}, {"minLength": True}, {"multipleOf": 0}, {"enum": []},
        {"enum": "a"}, {"required": [1]}, {"pattern": "("}, {"pattern": "(?=a)"}, {"pattern": "(a)\\1"}, {"pattern": 5},
        {"pattern": "a" * 501}, {"allOf": []}, {"allOf": {}}, {"items": [{}]}, {"properties": []}, {"not": 5},
        {"properties": {"a": {"b": 1}}}, {"enum": [0] * 1001}, {"uniqueItems": 1},
        {"anyOf": [{}] * 501},
    ],
)  # fmt: skip
def test_other_schemas_are_refused(schema: dict[str, Any]) -> None:
    with pytest.raises(InvalidSchema) as caught:
        check_schema(schema, is_pattern=is_pattern)
    assert (caught.value.status, caught.value.code) == (422, "invalid_json_schema")


def test_nesting_is_limited() -> None:
    schema: dict[str, Any] = {}
    for _ in range(15):
        schema = {"items": schema}
    check_schema(schema, is_pattern=is_pattern)
    with pytest.raises(InvalidSchema):
        check_schema({"items": schema}, is_pattern=is_pattern)


def test_the_place_is_named_and_the_value_is_not() -> None:
    schema: dict[str, Any] = {
        "properties": {"ports": {"items": {"maximum": 10}}},
        "additionalProperties": {"type": "null"},
    }
    assert broken_rule({"ports": [1, 4242]}, schema) == "/ports/1 breaks maximum"
    assert broken_rule({"hidden name": "hidden"}, schema) == "/* breaks type"


def test_the_member_that_is_missing_is_named() -> None:
    assert broken_rule({"b": 1}, {"required": ["b", "a", "c"]}) == "the value breaks required: a is missing"


def test_what_would_take_too_long_does_not_fit() -> None:
    assert broken_rule([[0] * 1000] * 1000, {"items": {"items": {}}}) == "it is too large to be checked"


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"allOf": [{"items": {"enum": list(range(900))}}] * 200}, [1000] * 5000),
        ({"allOf": [{"uniqueItems": True}] * 400}, list(range(5000))),
        ({"pattern": "(a+)+$"}, "a" * 19_000 + "!"),
        ({"items": {"anyOf": [{"items": {"const": 1}}] * 100}}, [[2] * 5] * 1000),
    ],
)  # fmt: skip
@pytest.mark.timeout(10)
def test_no_check_takes_long(schema: dict[str, Any], value: Any) -> None:
    check_schema(schema, is_pattern=is_pattern)
    assert fits(value, schema) in {True, False}
