"""Texts as the log can store them: bounded, and without what Postgres refuses (U+0000, half a surrogate pair)."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

MOST_JSON_BYTES = 32 * 1024
TRUNCATED = "_truncated"
"""The member that says that something was left out; `_bytes` beside it says how much there was."""
_KEPT_CHARACTERS = 1_000
"""What stays of a member that does not fit."""
_RESERVED_BYTES = 64

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
# An escape counts only after an even number of backslashes: `\\u0000` is the text `\u0000`, which is storable.
_ESCAPED_NUL = re.compile(rb"(?<!\\)((?:\\\\)*)\\u0000")


def cut(text: Any, most: int) -> str | None:
    """The first `most` characters, with U+FFFD for what cannot be stored; None for what is no text or empty."""
    if not isinstance(text, str) or not text:
        return None
    short = text[:most]
    return short if short.isprintable() else _UNSTORABLE.sub("\ufffd", short)


def json_text(members: Mapping[str, Any]) -> tuple[str, bool]:
    """The JSON text of an object, at most 32 KiB, and whether it is whole.

    Of one that is larger, the members that fit stay as they are and of each other one the beginning stays.
    """
    encoded = _encode(members)
    if len(encoded) <= MOST_JSON_BYTES:
        return _storable(encoded), True
    marks = [(TRUNCATED, b"true"), ("_bytes", b"%d" % len(encoded))]
    rest = ((name, value, _beginning(value)) for name, value in members.items() if name not in (TRUNCATED, "_bytes"))
    return _storable(_fitting(rest, marks)), False


def changes_text(changes: Mapping[str, Any]) -> tuple[str, bool]:
    """The same for `{"field": {"old": ..., "new": ...}}`: fields keep this shape, and nothing is added to them."""
    encoded = _encode(changes)
    if len(encoded) <= MOST_JSON_BYTES:
        return _storable(encoded), True
    return _storable(_fitting(((name, change, _shorter(change)) for name, change in changes.items()), [])), False


def _fitting(members: Iterable[tuple[str, Any, Any]], begin: Sequence[tuple[str, bytes]]) -> bytes:
    """An object of what fits: of each member the first form, else the second, else nothing."""
    parts = [_encode(name) + b":" + value for name, value in begin]
    room = MOST_JSON_BYTES - _RESERVED_BYTES
    for name, whole, shorter in members:
        for form in (whole, shorter):
            part = _encode(name) + b":" + _encode(form)
            if len(part) < room:
                parts.append(part)
                room -= len(part) + 1
                break
    return b"{" + b",".join(parts) + b"}"


def _shorter(change: Any) -> dict[str, Any]:
    sides = change if isinstance(change, dict) else {"new": change}
    return {side: _beginning(sides[side]) for side in ("old", "new") if side in sides}


def _beginning(value: Any) -> Any:
    """A short value itself; of a long one the first characters, of its JSON text where it is no string."""
    if isinstance(value, str):
        return value[:_KEPT_CHARACTERS]
    encoded = _encode(value)
    return value if len(encoded) <= _KEPT_CHARACTERS else encoded[:_KEPT_CHARACTERS].decode("utf-8", "ignore")


def _encode(value: Any) -> bytes:
    """JSON text of anything: where orjson refuses (half a surrogate pair, an integer past 64 bits), more patiently."""
    try:
        return orjson.dumps(value, default=str)
    except TypeError:
        pass
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, default=str)
    except (TypeError, ValueError, RecursionError):
        return b'{"%b":true}' % TRUNCATED.encode()
    return _UNSTORABLE.sub("\ufffd", text).encode()


def _storable(encoded: bytes) -> str:
    if b"\\u0000" in encoded:
        encoded = _ESCAPED_NUL.sub(rb"\1\\ufffd", encoded)
    return encoded.decode()
