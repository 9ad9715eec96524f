"""What a newer schema may refuse: nothing that narrows goes unseen, and what only widens is not called a narrowing."""

from typing import Any

import pytest
from hypothesis import given

from libs.common.json_schema.check import broken_rule
from libs.common.json_schema.narrowing import MOST_TOLD, narrowings
from tests.unit.json_schema.test_check import SCHEMAS, VALUES

ORDER: dict[str, Any] = {
    "type": "object", "required": ["id"], "additionalProperties": False,
    "properties": {
        "id": {"type": "string", "minLength": 3, "pattern": "^o"}, "total": {"type": "number", "minimum": 0, "multipleOf": 0.5},
        "state": {"enum": ["new", "paid"]}, "lines": {"type": "array", "items": {"type": "integer"}, "maxItems": 9},
        "free": {},
    },
}  # fmt: skip


def changed(place: str, **members: Any) -> dict[str, Any]:
    """The order's schema with other keywords in one of its members, or at its root; None takes a keyword away."""
    properties = {name: dict(schema) for name, schema in ORDER["properties"].items()}
    made = {**ORDER, "properties": properties}
    (properties[place] if place else made).update(members)
    for name in [name for name, value in members.items() if value is None]:
        del (properties[place] if place else made)[name]
    return made


@given(SCHEMAS, SCHEMAS, VALUES)
def test_what_the_older_takes_and_the_newer_refuses_is_told(
    old: dict[str, Any], new: dict[str, Any], value: Any
) -> None:
    if broken_rule(value, old) is None and broken_rule(value, new) is not None:
        assert narrowings(old, new) != []


@given(SCHEMAS)
def test_a_schema_does_not_narrow_itself_and_nothing_narrows_to_everything(schema: dict[str, Any]) -> None:
    assert narrowings(schema, schema) == []
    assert narrowings(schema, {}) == []


@pytest.mark.parametrize(
    ("new", "told"),
    [
        (changed("", required=["id", "total"]), "/required"),
        (changed("id", minLength=4), "/properties/id/minLength"),
        (changed("id", type=["null"]), "/properties/id/type"),
        (changed("id", pattern="^p"), "/properties/id/pattern"),
        (changed("id", maxLength=80), "/properties/id/maxLength"),
        (changed("total", minimum=0.5), "/properties/total/minimum"),
        (changed("total", type="integer"), "/properties/total/type"),
        (changed("total", multipleOf=1), "/properties/total/multipleOf"),
        (changed("state", enum=["new"]), "/properties/state/enum"),
        (changed("state", enum=None, const="new"), "/properties/state/const"),
        (changed("lines", maxItems=8), "/properties/lines/maxItems"),
        (changed("lines", uniqueItems=True), "/properties/lines/uniqueItems"),
        (changed("lines", items={"type": "integer", "minimum": 1}), "/properties/lines/items/minimum"),
        (changed("free", anyOf=[{"type": "null"}]), "/properties/free/anyOf"),
        (changed("free", **{"not": {"type": "null"}}), "/properties/free/not"),
        ({**ORDER, "properties": {"id": ORDER["properties"]["id"]}}, "/properties/free"),
    ],
)  # fmt: skip
def test_a_narrowing_is_told_by_its_place(new: dict[str, Any], told: str) -> None:
    assert told in narrowings(ORDER, new)


@pytest.mark.parametrize(
    "new",
    [
        changed("", required=None), changed("", additionalProperties=True), changed("id", minLength=2, title="An id"),
        changed("id", type=["string", "null"]), changed("id", pattern=None), changed("total", minimum=-1),
        changed("total", multipleOf=0.25), changed("state", enum=["new", "paid", "lost"]), changed("lines", maxItems=10),
        changed("lines", items={"type": "number"}), changed("lines", uniqueItems=False),
        {**ORDER, "properties": {**ORDER["properties"], "note": {"type": "string"}}},
    ],
)  # fmt: skip
def test_a_widening_is_none(new: dict[str, Any]) -> None:
    assert narrowings(ORDER, new) == []


def test_a_new_member_narrows_where_others_were_taken() -> None:
    assert narrowings({}, {"properties": {"a": {"type": "string"}}}) == ["/properties/a/type"]


def test_the_list_is_bounded() -> None:
    assert len(narrowings({}, {"properties": {f"m{n}": {"type": "null"} for n in range(50)}})) == MOST_TOLD
