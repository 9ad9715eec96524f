"""Topic matching against a slow, plain definition of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.broker.routing import topic_matches

WORDS = st.sampled_from(["a", "b", "reeve"])
KEYS = st.lists(WORDS, min_size=1, max_size=5).map(".".join)
BINDINGS = st.lists(st.one_of(WORDS, st.sampled_from(["*", "#"])), min_size=1, max_size=5).map(".".join)


def plainly(pattern: list[str], words: list[str]) -> bool:
    """The definition itself, exponential in the number of `#`."""
    if not pattern:
        return not words
    if pattern[0] == "#":
        return any(plainly(pattern[1:], words[skipped:]) for skipped in range(len(words) + 1))
    return bool(words) and pattern[0] in ("*", words[0]) and plainly(pattern[1:], words[1:])


@given(binding=BINDINGS, key=KEYS)
def test_matching_is_as_defined(binding: str, key: str) -> None:
    assert topic_matches(binding, key) == plainly(binding.split("."), key.split("."))


@pytest.mark.parametrize(
    ("binding", "key", "matches"),
    [
        ("#", "reeve.setting.changed.v1", True),
        ("reeve.setting.#", "reeve.setting", True),
        ("reeve.setting.#", "reeve.setting.changed.v1", True),
        ("reeve.setting.#", "reeve.settings.changed.v1", False),
        ("reeve.*.changed.v1", "reeve.setting.changed.v1", True),
        ("reeve.*.v1", "reeve.setting.changed.v1", False),
        ("#.v1", "reeve.setting.changed.v1", True),
        ("#.#.#.#.#.#.#.#.z", "a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a", False),
        ("reeve.setting.changed.v1", "reeve.setting.changed.v1", True),
        ("*", "#", True),
    ],
)
def test_matching(binding: str, key: str, matches: bool) -> None:
    assert topic_matches(binding, key) is matches
