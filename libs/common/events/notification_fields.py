"""The fields of notifications and alerts: what may be said, how long it may be, and what is never taken.

A text is plain. Control characters and those that turn the direction of writing are refused in what an
administrator writes and replaced in what a platform sends; a `<` that could open a tag becomes a single angle
quotation mark, so no reader that mistakes text for markup runs anything.
"""

import re
from typing import Annotated, Any, Literal

import orjson
from pydantic import AfterValidator, Field, StrictInt, StringConstraints

from libs.common.events.envelope import depth_exceeds

MOST_TITLE = 200
MOST_MESSAGE = 2000
MOST_METADATA_BYTES = 16 * 1024
MOST_METADATA_DEPTH = 8
MOST_AFFECTED = 100
MOST_LABELS = 64

# C0 and C1 controls, line and paragraph separators, bidirectional controls, zero-width and byte-order marks, surrogates.
_CONTROLS = r"\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff"
_NOT_IN_TEXT = re.compile(f"[{_CONTROLS}]")
_NOT_IN_LINE = re.compile(f"[{_CONTROLS}\\t\\n]")
_RUNS = re.compile(f"[{_CONTROLS}\\s]+")
_TAG = re.compile(r"<(?=[A-Za-z/!?])")
_HARMLESS = "\u2039"
_SEGMENTS = re.compile(r"/(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})*")
_REST = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:@/?#-]|%[0-9A-Fa-f]{2})*")
_DOTS = {".", "..", "%2e", "%2e%2e", ".%2e", "%2e."}


def plain_line(text: str, most: int = MOST_TITLE) -> str:
    """Any text as one plain line of at most `most` characters; a longer one ends in `…`."""
    return _cut(_TAG.sub(_HARMLESS, _RUNS.sub(" ", text).strip()), most)


def plain_text(text: str, most: int = MOST_MESSAGE) -> str:
    """Any text as plain lines, divided by `\\n` only, of at most `most` characters; a longer one ends in `…`."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    return _cut(_TAG.sub(_HARMLESS, _NOT_IN_TEXT.sub(" ", lines)).strip(), most)


def is_relative_path(link: str) -> bool:
    """Whether a link can only lead to another page of the same site (RFC 3986, 4.2: an absolute-path reference).

    Refused: another scheme or authority, `//` and backslashes, dot segments, anything that a URL must escape.
    """
    if not link.isascii():
        return False
    path = re.split(r"[?#]", link, maxsplit=1)[0]
    segments = path.split("/")[1:]
    if not all(_SEGMENTS.fullmatch(f"/{segment}") for segment in segments) or not path.startswith("/"):
        return False
    if "" in segments[:-1] or any(segment.lower() in _DOTS for segment in segments):
        return False
    return _REST.fullmatch(link[len(path) :]) is not None


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _line(text: str) -> str:
    if _NOT_IN_LINE.search(text):
        raise ValueError("must be one line without control characters")
    return _TAG.sub(_HARMLESS, text)


def _text(text: str) -> str:
    lines = text.replace("\r\n", "\n")
    if _NOT_IN_TEXT.search(lines):
        raise ValueError("must not hold control characters")
    return _TAG.sub(_HARMLESS, lines)


def _relative(link: str) -> str:
    if not is_relative_path(link):
        raise ValueError("must be a relative path that begins with one /")
    return link


def _bounded(found: dict[str, Any]) -> dict[str, Any]:
    if depth_exceeds(found, MOST_METADATA_DEPTH):
        raise ValueError(f"must not nest deeper than {MOST_METADATA_DEPTH} levels")
    try:
        size = orjson.dumps(found)
    except (TypeError, ValueError):
        raise ValueError("must be JSON") from None
    if len(size) > MOST_METADATA_BYTES:
        raise ValueError(f"must be at most {MOST_METADATA_BYTES} bytes of JSON")
    if b"\\u0000" in size:
        raise ValueError("must not hold U+0000")
    return found


Line = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1), AfterValidator(_line)]
Text = Annotated[str, StringConstraints(max_length=MOST_MESSAGE, strip_whitespace=True), AfterValidator(_text)]

Priority = Literal["low", "normal", "high", "critical"]
AlertSeverity = Literal["info", "warning", "error", "critical"]
NotificationType = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_.-]{0,63}$")]
AlertType = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
Title = Annotated[Line, StringConstraints(max_length=MOST_TITLE)]
ActionUrl = Annotated[str, StringConstraints(max_length=500), AfterValidator(_relative)]
Metadata = Annotated[dict[str, Any], AfterValidator(_bounded)]
Fingerprint = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._:/-]{1,128}$")]
Affected = Annotated[
    list[Annotated[Line, StringConstraints(max_length=200)] | Annotated[StrictInt, Field(ge=-(2**63), lt=2**63)]],
    Field(max_length=MOST_AFFECTED),
]
LabelName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_.-]{0,127}$")]
LabelValue = Annotated[str, StringConstraints(max_length=500), AfterValidator(_line)]
Labels = Annotated[dict[LabelName, LabelValue], Field(max_length=MOST_LABELS)]
Notes = Text
