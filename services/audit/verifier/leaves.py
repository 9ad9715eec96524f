"""What the bytes of a leaf say, once they have the form that the log promises (version 1)."""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from services.audit.verifier.canonical import NotCanonical, parse_canonical
from services.audit.verifier.ordinary import TOLD

MOST_LEAF_BYTES = 16_384
HEARTBEAT = "reeve.audit.heartbeat.v1"
REDACTED = "reeve.audit.redacted.v1"
PRUNED = "reeve.audit.pruned.v1"
LOG_SOURCE = "/reeve/audit"
_SOURCE = TOLD.index("source")
MEMBERS = frozenset({
    "v", "index", "entry_id", "event_id", "type", "producer", "producer_seq", "source", "occurred_at", "received_at",
    "action", "actor", "target", "outcome", "severity", "request_id", "operation_id", "trace_id", "commits", "public",
})  # fmt: skip
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z")
_COMMITMENT = re.compile(r"[A-Za-z0-9+/]{43}=")


class Flaw(ValueError):
    """The leaf is not what a leaf must be; the message says what is wrong."""


class Leaf(NamedTuple):
    """What the verifier reads of a leaf. `public` is what a special leaf tells; of others it is None."""

    place: int
    type: str
    producer: str
    producer_seq: int | None
    occurred_at: str
    received_at: str
    commits: Mapping[str, str]
    public: Mapping[str, object] | None
    told: Sequence[object]
    """What searches want to know of it, in the order of `TOLD`."""


def read_leaf(data: bytes, index: int) -> Leaf:
    """The leaf at place `index`. Raises Flaw: too long, not canonical, a member missing or of a wrong kind, another place."""
    if len(data) > MOST_LEAF_BYTES:
        raise Flaw(f"a leaf has at most {MOST_LEAF_BYTES} bytes, it has {len(data)}")
    try:
        said = parse_canonical(data)
    except NotCanonical as error:
        raise Flaw(str(error)) from error
    if not isinstance(said, dict):
        raise Flaw("it is not an object")
    if not said.keys() >= MEMBERS:
        raise Flaw(f"it has no member {min(MEMBERS - said.keys())!r}")
    if said["v"] != 1 or said["v"] is True:
        raise Flaw("its version is not 1")
    if said["index"] != index or isinstance(said["index"], bool):
        raise Flaw(f"it says that its index is {str(said['index'])[:40]}")
    inside = (_inside(said["actor"], "type"), _inside(said["target"], "type"), _inside(said["target"], "id"))
    told = (*inside, *(said[name] for name in TOLD[len(inside) :]))
    return Leaf(
        index, _text(said, "type"), _text(said, "producer"), _number(said), _time(said, "occurred_at"),
        _time(said, "received_at"), _commits(said["commits"]), _public(said["public"]), told,
    )  # fmt: skip


def is_special(leaf: Leaf, kind: str) -> bool:
    """Whether the log itself says this, and not somebody who uses its words."""
    return leaf.type == kind and leaf.told[_SOURCE] == LOG_SOURCE and leaf.public is not None


def _inside(member: object, name: str) -> object:
    return member.get(name) if isinstance(member, dict) else None


def _text(said: Mapping[str, object], name: str) -> str:
    value = said[name]
    if not isinstance(value, str):
        raise Flaw(f"its {name} is not a text")
    return value


def _time(said: Mapping[str, object], name: str) -> str:
    value = said[name]
    if not isinstance(value, str) or not _TIME.fullmatch(value):
        raise Flaw(f"its {name} is not a time of UTC with six decimals")
    return value


def _number(said: Mapping[str, object]) -> int | None:
    value = said["producer_seq"]
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
        raise Flaw("its producer_seq is not a number")
    return value


def _commits(value: object) -> Mapping[str, str]:
    if not isinstance(value, dict):
        raise Flaw("its commits are not an object")
    for one in value.values():
        if not isinstance(one, str) or not _COMMITMENT.fullmatch(one):
            raise Flaw("a commitment is not base64 of 32 bytes")
    return value


def _public(value: object) -> Mapping[str, object] | None:
    if value is not None and not isinstance(value, dict):
        raise Flaw("its public part is not an object")
    return value
