"""The words that an entry is found by, and what a search text asks of them.

Words are made here and not by Postgres, on both sides alike: `shop.max_stores` is one word, and `shop`,
`max_stores`, `max` and `stores` are words too, so that a key, an e-mail address or an event type is found whole
and by what it is made of.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

MOST_WORDS = 48
MOST_CHARACTERS = 64
"""Of a longer word the beginning stands for it."""
_MOST_TEXT = 400
_MOST_TEXTS = 40
_MOST_CACHED_TEXT = 80
_MOST_LEVELS = 4

_WORD = re.compile(r"[^\W_]+(?:[._@:-][^\W_]+)*")
_SEGMENT = re.compile(r"[^.@:]+")
_PART = re.compile(r"[^\W_]+")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_TERM = re.compile(r'-?"[^"]*"?|\S+')

Group = tuple[tuple[bool, str], ...]
"""Words that must all be there (True) or must not (False)."""


def words_of(texts: Iterable[str | None], *values: Any) -> list[str]:
    """The distinct words of `texts` and then of the strings and integers within `values`, at most 48."""
    found: dict[str, None] = {}
    for text in texts:
        if text:
            found.update(_cached(text))
    for text in _texts_within(values):
        if len(found) >= MOST_WORDS:
            break
        found.update(_cached(text) if len(text) <= _MOST_CACHED_TEXT else _tokens(text))
    return list(found)[:MOST_WORDS]


def query_of(text: str) -> tuple[Group, ...]:
    """What a search text asks for: any of the groups. Terms are joined by and, `or` parts groups, `-` negates.

    A quoted phrase asks for its words, in whatever order. No group holds no word; a text without words has no group.
    """
    groups: list[Group] = []
    wanted: list[tuple[bool, str]] = []
    for term in _TERM.findall(text):
        if term.lower() == "or":
            groups.append(tuple(wanted))
            wanted = []
            continue
        is_wanted = not term.startswith("-")
        wanted += [(is_wanted, word[:MOST_CHARACTERS]) for word in _WORD.findall(term.lower())]
    groups.append(tuple(wanted))
    return tuple(group for group in groups if group)


def _texts_within(values: Iterable[Any]) -> list[str]:
    """The strings and integers within, shortened, in order; not below four levels, and no more than forty."""
    found: list[str] = []
    level: list[Any] = list(values)
    for _ in range(_MOST_LEVELS):
        below: list[Any] = []
        for value in level:
            if isinstance(value, str):
                found.append(value[:_MOST_TEXT])
            elif isinstance(value, dict):
                below.extend(value.values())
            elif isinstance(value, list):
                below.extend(value[:_MOST_TEXTS])
            elif isinstance(value, int) and not isinstance(value, bool):
                found.append(str(value))
            if len(found) >= _MOST_TEXTS:
                return found
        level = below[: _MOST_TEXTS * 4]
    return found


@lru_cache(maxsize=8192)
def _cached(text: str) -> dict[str, None]:
    return _tokens(text)


def _tokens(text: str) -> dict[str, None]:
    found: dict[str, None] = {}
    for word in _WORD.findall(text.lower()):
        found[word[:MOST_CHARACTERS]] = None
        if not word.isalnum() and not (len(word) == 36 and _UUID.fullmatch(word)):
            for part in (*_SEGMENT.findall(word), *_PART.findall(word)):
                found[part[:MOST_CHARACTERS]] = None
    return found
