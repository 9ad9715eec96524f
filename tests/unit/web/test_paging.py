"""Paging: limits, and cursors that hold only where they were made for."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.errors import Invalid
from libs.common.web.paging import (
    CURSOR_SECONDS,
    CursorKey,
    Page,
    Position,
    counted,
    decode_cursor,
    encode_cursor,
    listing,
)
from tests.unit.web.browser import ask
from tests.unit.web.shop import the_shop

KEY = CursorKey(b"k" * 32, clock=lambda: 1_000_000.0)
FILTERS = {"action": ["update_setting"], "outcome": None, "q": "tea"}
positions = st.lists(
    st.none() | st.integers(-(2**63), 2**63 - 1) | st.text(st.characters(exclude_categories=["Cs"])), max_size=4
)


def made(position: list[Position], key: CursorKey = KEY) -> str:
    """A cursor of the audit log, newest first, under `FILTERS`."""
    return encode_cursor(key, position, resource="logs", filters=FILTERS, sort="-created_at", subject="ada")


def read(cursor: str, *, key: CursorKey = KEY, **changed: Any) -> list[Position]:
    """What the same list reads from it, but for what is `changed`."""
    asked: dict[str, Any] = {"resource": "logs", "filters": FILTERS, "sort": "-created_at", "subject": "ada"}
    return decode_cursor(key, cursor, **(asked | changed))


@given(positions)
def test_a_cursor_gives_back_its_position(position: list[Position]) -> None:
    assert read(made(position)) == position


@given(positions, st.data())
def test_a_cursor_with_any_character_changed_is_refused(position: list[Position], data: st.DataObject) -> None:
    cursor = made(position)
    place = data.draw(st.integers(0, len(cursor) - 1))
    other = data.draw(st.characters(min_codepoint=33, max_codepoint=126).filter(lambda one: one != cursor[place]))
    with pytest.raises(Invalid) as refused:
        read(cursor[:place] + other + cursor[place + 1 :])
    assert refused.value.code == "invalid_cursor"


@given(st.text(max_size=100) | st.binary(max_size=100).map(lambda raw: raw.hex()))
def test_no_text_makes_the_reader_fail_in_another_way(text: str) -> None:
    with pytest.raises(Invalid):
        read(text)


@pytest.mark.parametrize("padded", ["=", "==", "\n", " "])
def test_a_cursor_with_anything_added_is_refused(padded: str) -> None:
    with pytest.raises(Invalid):
        read(made(["a"]) + padded)


@pytest.mark.parametrize(
    "changed",
    [
        {"filters": {"q": "tea"}},
        {"filters": FILTERS | {"q": "coffee"}},
        {"filters": FILTERS | {"outcome": "denied"}},
        {"sort": "created_at"},
        {"resource": "users"},
        {"subject": "bob"},
    ],
)
def test_a_cursor_does_not_hold_for_another_list(changed: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        read(made(["a"]), **changed)


def test_a_filter_that_is_not_set_is_the_same_as_none() -> None:
    assert read(made(["a"]), filters={"q": "tea", "action": ["update_setting"]}) == ["a"]


def test_another_services_key_does_not_open_it() -> None:
    with pytest.raises(Invalid):
        read(made(["a"]), key=CursorKey(b"x" * 32, clock=KEY.clock))


def test_a_cursor_holds_for_a_day() -> None:
    cursor = made(["a"])
    late = CursorKey(b"k" * 32, clock=lambda: 1_000_000.0 + CURSOR_SECONDS - 1)
    later = CursorKey(b"k" * 32, clock=lambda: 1_000_000.0 + CURSOR_SECONDS)
    assert read(cursor, key=late) == ["a"]
    with pytest.raises(Invalid, match="expired"):
        read(cursor, key=later)


def test_a_short_key_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 16 bytes"):
        CursorKey(b"short")


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("limit=0", "validation_error"),
        ("limit=201", "validation_error"),
        ("limit=ten", "validation_error"),
        ("skip=-1", "validation_error"),
        ("skip=10001", "use_cursor"),
        ("skip=5&cursor=abc", "invalid_cursor"),
        ("cursor=" + "a" * 3000, "validation_error"),
    ],
)
async def test_a_page_outside_the_limits_is_422(query: str, code: str) -> None:
    answer = await ask(the_shop(), "GET", f"/api/shop/articles?{query}")
    assert (answer.status, answer.error) == (422, code)


async def test_a_list_has_the_members_of_every_list() -> None:
    answer = await ask(the_shop(), "GET", "/api/shop/articles?tag=a&skip=10000")
    assert answer.json == {
        "articles": ["a"], "total": 0, "total_is_exact": True, "skip": 10000, "limit": 50, "next_cursor": None,
    }  # fmt: skip


def test_a_list_may_have_further_members() -> None:
    body = listing("rows", [], total=1, exact=True, page=Page(), next_cursor=None, unread_count=3)
    assert body["unread_count"] == 3


@pytest.mark.parametrize(("count", "expected"), [(0, (0, True)), (10_000, (10_000, True)), (10_001, (10_000, False))])
def test_totals_are_exact_up_to_ten_thousand(count: int, expected: tuple[int, bool]) -> None:
    assert counted(count) == expected
