"""The words that find an entry, and what a search text asks for."""

from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.audit.models.words import MOST_CHARACTERS, MOST_WORDS, query_of, words_of
from services.audit.store.search import tsquery
from services.audit.store.wire import inet, tsvector

UUID = "0199a0c0-0000-7000-8000-00000000000a"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("update_setting", ["update_setting", "update", "setting"]),
        ("shop.max_stores", ["shop.max_stores", "shop", "max_stores", "max", "stores"]),
        ("Ada.L@Example.com", ["ada.l@example.com", "ada", "l", "example", "com"]),
        ("line 17: price, is NOT a number!", ["line", "17", "price", "is", "not", "a", "number"]),
        ("/api/v1/users", ["api", "v1", "users"]),
        (UUID, [UUID]),
        ("Grüße aus Łódź", ["grüße", "aus", "łódź"]),
        ("a\x00b '\\ c", ["a", "b", "c"]),
        ("…—!?", []),
        ("x" * 100, ["x" * MOST_CHARACTERS]),
    ],
)
def test_words_are_whole_and_in_their_parts(text: str, expected: list[str]) -> None:
    assert words_of([text]) == expected
    assert words_of([], text) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"b": "two", "c": ["three", {"d": 4}]}, ["two", "three", "4"]),
        ([True, None, 1.5, "one"], ["one"]),
        ({"a": {"b": {"c": {"d": {"e": "too deep"}}}}}, []),
        (["one", "one", "two"], ["one", "two"]),
        (date(2026, 1, 1), []),
    ],
)
def test_strings_and_integers_within_are_found(value: Any, expected: list[str]) -> None:
    assert words_of([None, ""], value) == expected


def test_the_words_of_an_entry_are_bounded() -> None:
    endless = {f"k{number}": [f"word{number}-{part}" for part in range(100)] for number in range(1000)}
    assert len(words_of(["action"], endless)) == MOST_WORDS
    assert words_of(["action"], endless)[0] == "action"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("price", "('price')"),
        ("Price NUMBER", "('price' & 'number')"),
        ("price -theme", "('price' & !'theme')"),
        ("a or b c", "('a') | ('b' & 'c')"),
        ("a OR or", "('a')"),
        ('"not a number"', "('not' & 'a' & 'number')"),
        ('-"not this"', "(!'not' & !'this')"),
        ('"unclosed phrase', "('unclosed' & 'phrase')"),
        ("shop.max_stores", "('shop.max_stores')"),
        ("import/7", "('import' & '7')"),
        ("' & | ! ( ) : * \\ --", ""),
        ("", ""),
    ],
)
def test_a_search_text_asks(text: str, expected: str) -> None:
    assert tsquery(query_of(text)) == expected


@settings(deadline=None)
@given(st.text(max_size=200))
def test_any_search_text_makes_a_query_of_plain_words(text: str) -> None:
    for group in query_of(text):
        assert group
        for _, word in group:
            assert 0 < len(word) <= MOST_CHARACTERS
            assert not set(word) & set("'\\ \x00")
            word.encode()


@settings(deadline=None)
@given(st.text(min_size=1, max_size=60).filter(str.isalnum))
def test_a_word_finds_what_holds_it(word: str) -> None:
    wanted = {found for group in query_of(word) for _, found in group}
    assert wanted <= set(words_of([], f"before {word} after"))


def test_words_travel_as_postgres_reads_them() -> None:
    assert tsvector(["b", "é"]) == b"\x00\x00\x00\x02b\x00\x00\x00\xc3\xa9\x00\x00\x00"
    assert tsvector([]) == b"\x00\x00\x00\x00"


def test_addresses_travel_as_postgres_reads_them() -> None:
    assert inet("192.0.2.1") == b"\x02\x20\x00\x04\xc0\x00\x02\x01"
    assert inet("2001:db8::1") == b"\x03\x80\x00\x10\x20\x01\x0d\xb8" + b"\x00" * 11 + b"\x01"
