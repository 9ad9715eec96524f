"""Where a client of the stream is: the highest number it saw of each producer.

Producers number their events gaplessly, so such a cursor means the same to every gateway instance and
after every restart; written as `gateway-120.settings-7`. Pure.
"""

import re

_PART = re.compile(r"([a-z]{1,32})-(\d{1,18})")
MOST_PRODUCERS = 16

Cursor = dict[str, int]


def write(cursor: Cursor) -> str:
    """The text form, with the producers in alphabetical order."""
    return ".".join(f"{producer}-{number}" for producer, number in sorted(cursor.items()))


def read(text: str) -> Cursor | None:
    """The cursor of its text form; None when this is no cursor of ours."""
    parts = text.split(".")
    if len(parts) > MOST_PRODUCERS:
        return None
    found: Cursor = {}
    for part in parts:
        match = _PART.fullmatch(part)
        if match is None:
            return None
        found[match.group(1)] = int(match.group(2))
    return found
