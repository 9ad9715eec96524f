"""How a topic exchange matches a routing key against a binding."""

from functools import lru_cache

MOST_CACHED = 4096


@lru_cache(maxsize=MOST_CACHED)
def topic_matches(binding: str, routing_key: str) -> bool:
    """Whether the binding matches: words are separated by dots, `*` is exactly one word, `#` any number, none included."""
    return _matches(tuple(binding.split(".")), tuple(routing_key.split(".")))


def _matches(pattern: tuple[str, ...], words: tuple[str, ...]) -> bool:
    """Keeps the set of pattern positions reached after each word, so that time is linear in both lengths."""
    reached = _past_hashes(pattern, {0})
    for word in words:
        following = {
            at + 1 for at in reached if at < len(pattern) and pattern[at] in ("*", word) and pattern[at] != "#"
        }
        staying = {at for at in reached if at < len(pattern) and pattern[at] == "#"}
        reached = _past_hashes(pattern, following | staying)
    return len(pattern) in reached


def _past_hashes(pattern: tuple[str, ...], reached: set[int]) -> set[int]:
    """Add the positions behind every `#` that may stand for no word."""
    out = set(reached)
    for at in sorted(reached):
        position = at
        while position < len(pattern) and pattern[position] == "#":
            position += 1
            out.add(position)
    return out
