"""Texts as the log can store them, however large or broken what was sent."""

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.audit.models.texts import MOST_JSON_BYTES, changes_text, cut, json_text

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=True),
    lambda below: st.lists(below, max_size=4) | st.dictionaries(st.text(max_size=10), below, max_size=4),
    max_leaves=20,
)


@pytest.mark.parametrize(
    ("text", "most", "expected"),
    [
        ("plain", 10, "plain"),
        ("plain", 3, "pla"),
        ("a\x00b", 10, "a\ufffdb"),
        ("\ud83d\ude00", 10, "\ufffd\ufffd"),
        ("tab\tand\u2028line", 20, "tab\tand\u2028line"),
        ("", 10, None),
        (None, 10, None),
        (7, 10, None),
        (["x"], 10, None),
    ],
)
def test_a_text_is_cut_and_made_storable(text: Any, most: int, expected: str | None) -> None:
    assert cut(text, most) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("\x00", '"\ufffd"'),
        ("\\u0000", '"\\\\u0000"'),
        ("\\\x00", '"\\\\\ufffd"'),
        ("\\\\\x00\x00", '"\\\\\\\\\ufffd\ufffd"'),
    ],
)
def test_only_the_character_is_replaced_and_not_the_text_that_looks_like_it(value: str, expected: str) -> None:
    text, is_whole = json_text({"a": value, value: 1})
    assert is_whole
    assert orjson.loads(text) == {"a": orjson.loads(expected), orjson.loads(expected): 1}


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"short": 1, "text": "x" * 50_000}, {"short": 1, "text": "x" * 1000}),
        ({"text": "x" * 50_000, "short": 1}, {"text": "x" * 1000, "short": 1}),
        ({"list": [7] * 50_000}, {"list": ("[" + "7," * 500)[:1000]}),
        ({"k" * 50_000: 1, "short": 2}, {"short": 2}),
        ({"_truncated": "mine", "_bytes": 0, "text": "x" * 50_000}, {"text": "x" * 1000}),
    ],
)
def test_of_what_is_too_large_the_beginning_stays_and_its_neighbours_whole(members: Any, expected: Any) -> None:
    text, is_whole = json_text(members)
    assert not is_whole
    assert orjson.loads(text) == {"_truncated": True, "_bytes": len(orjson.dumps(members)), **expected}


def test_members_that_fit_fill_the_room_in_their_order() -> None:
    text, _ = json_text({f"key{number:05}": number for number in range(10_000)})
    kept = [name for name in orjson.loads(text) if name.startswith("key")]
    assert kept == [f"key{number:05}" for number in range(len(kept))]
    assert MOST_JSON_BYTES - 200 < len(text) <= MOST_JSON_BYTES


def test_what_is_no_json_is_written_all_the_same() -> None:
    for value in (2**70, "\ud800", {1: 2}, {"deep": None}, float("nan"), object(), b"bytes", 10**5000):
        assert isinstance(orjson.loads(json_text({"a": value})[0]), dict)


def test_nesting_past_every_limit_is_written_all_the_same() -> None:
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    assert orjson.loads(json_text({"a": deep})[0]) == {"_truncated": True}
    assert orjson.loads(changes_text({"a": {"old": deep}})[0]) == {"_truncated": True}


@settings(deadline=None)
@given(st.dictionaries(st.text(), anything, max_size=5), st.integers(1, 1000))
def test_any_object_becomes_json_within_the_bound(members: dict[str, Any], times: int) -> None:
    members["many"] = [members.copy()] * times
    for text, _ in (json_text(members), changes_text({"field": members, "other": {"old": members, "new": 1}})):
        assert len(text.encode()) <= MOST_JSON_BYTES
        assert isinstance(orjson.loads(text), dict)
        assert "\\u0000" not in text.replace("\\\\", "")
