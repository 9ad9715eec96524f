"""The canonical form of almost every leaf as one regular expression: what matches it needs no parsing.

An ordinary leaf has the members of version 1 in their order and no others, texts without a backslash, whole numbers of at
most 15 digits, commitments to known members, and no public part. So a text that matches has one value, of which it is the
canonical form (RFC 8785). What does not match is not wrong by that, only rarer.
"""

import re

PATHS = ("/admin_username", "/changes", "/details", "/ip_address", "/user_agent")
_TEXT = r'"([^"\\\x00-\x1f]*)"'
_PERHAPS = rf"(?:{_TEXT}|null)"
_UNREAD = r'(?:"[^"\\\x00-\x1f]*"|null)'
_NUMBER = r"(0|[1-9][0-9]{0,14})"
_TIME = r'"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z)"'
# A comma stands before each commitment but one that is the first.
_COMMITS = "".join(rf'(?:(?:(?<=\{{)|(?<!\{{),)"{path}":"([A-Za-z0-9+/]{{43}}=)")?' for path in PATHS)
_MEMBERS = {
    "action": _PERHAPS,
    "actor": rf'\{{"id":{_UNREAD},"type":{_PERHAPS}\}}',
    "commits": rf"\{{{_COMMITS}\}}",
    "entry_id": _PERHAPS,
    "event_id": _PERHAPS,
    "index": _NUMBER,
    "occurred_at": _TIME,
    "operation_id": _PERHAPS,
    "outcome": _PERHAPS,
    "producer": _TEXT,
    "producer_seq": f"(?:{_NUMBER}|null)",
    "public": "null",
    "received_at": _TIME,
    "request_id": _PERHAPS,
    "severity": _PERHAPS,
    "source": _PERHAPS,
    "target": rf'\{{"id":{_PERHAPS},"type":{_PERHAPS}\}}',
    "trace_id": _PERHAPS,
    "type": _TEXT,
    "v": "1",
}
_ORDINARY = re.compile(r"\{" + ",".join(f'"{name}":{form}' for name, form in _MEMBERS.items()) + r"\}")


GROUPS = (
    "action", "actor_type", *PATHS, "entry_id", "event_id", "index", "occurred_at", "operation_id", "outcome", "producer",
    "producer_seq", "received_at", "request_id", "severity", "source", "target_id", "target_type", "trace_id", "type",
)  # fmt: skip
"""What is read of an ordinary leaf, in its order."""
TOLD = (
    "actor_type", "target_type", "target_id", "entry_id", "event_id", "type", "action", "outcome", "severity", "source",
    "producer", "request_id", "operation_id", "trace_id",
)  # fmt: skip
"""What searches want to know of an entry, so that a table has it too."""
Ordinary = tuple[str | None, ...]


def ordinary(text: str) -> Ordinary | None:
    """The texts in an ordinary leaf in the order of `GROUPS`, None for null and for a member to which it does not commit; None
    for any other text."""
    found = _ORDINARY.fullmatch(text)
    return None if found is None else found.groups()
