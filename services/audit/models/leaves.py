"""The leaf of an entry: its canonical bytes, which are what the log proves.

RFC 8785: keys in order, no blanks, integers below 2 to the 53, no other numbers, and the shortest escapes, which are
orjson's. All members are always there, null where unknown; private ones only as commitments.
"""

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID

import orjson

from libs.common.events.audit import LogHeartbeat
from libs.common.events.redactions import AuditRedacted
from libs.common.events.retention import EntriesPruned
from services.audit.log.tree import leaf_hash
from services.audit.models.commitments import SEED_BYTES, commitments
from services.audit.models.entries import OUR_SOURCE, Entry

VERSION = 1
SEQUENCE_BITS = 62
"""The low bits of an entry's id that hold its sequence."""
MOST_LEAF_BYTES = 16 * 1024
"""An entry that keeps its bounds stays below by far; a bundle of tlog-tiles could hold four times as much."""
MOST_NUMBER = (1 << 53) - 1
SPOKEN_OUT = frozenset({LogHeartbeat.TYPE, AuditRedacted.TYPE, EntriesPruned.TYPE})
"""The audit service's own entries whose details are public, so that whoever has leaves alone sees them."""
OWN_SOURCE = f"{OUR_SOURCE}audit"


class Leaf(NamedTuple):
    """What is stored of an entry's leaf; the seed opens its commitments and is kept apart."""

    sequence: int
    body: bytes
    hash: bytes
    seed: bytes


def seeds_for(count: int) -> Iterator[bytes]:
    """A new random seed for each of `count` entries, taken from the system at once."""
    drawn = os.urandom(SEED_BYTES * count)
    return (drawn[start : start + SEED_BYTES] for start in range(0, len(drawn), SEED_BYTES))


def leaf_of(entry: Entry, *, index: int, entry_id: str, received_at: str, is_numbered: bool, seed: bytes) -> Leaf:
    """The leaf of the entry at its place in the log.

    `received_at` is `instant()` of when it came; `is_numbered` says that its producer numbers without gaps. Raises
    `ValueError` over 16 KiB, which only details that are spoken out can reach.
    """
    is_spoken_out = entry.event_type in SPOKEN_OUT and entry.source == OWN_SOURCE
    number = entry.producer_seq if is_numbered and (entry.producer_seq or 0) <= MOST_NUMBER else None
    # In the order of their keys, which are ASCII: nothing is sorted a thousand times over.
    body = orjson.dumps({
        "action": entry.action,
        "actor": {"id": entry.admin_user_id or entry.actor_id, "type": entry.actor_type},
        "commits": commitments(entry, seed),
        "entry_id": entry_id,
        "event_id": entry.event_id,
        "index": index,
        "occurred_at": instant(entry.created_at),
        "operation_id": entry.operation_id,
        "outcome": entry.outcome,
        "producer": entry.producer,
        "producer_seq": number,
        "public": orjson.Fragment(_canonical(entry.details)) if is_spoken_out else None,
        "received_at": received_at,
        "request_id": entry.request_id,
        "severity": entry.severity,
        "source": entry.source,
        "target": {"id": entry.target_id, "type": entry.target_type},
        "trace_id": entry.trace_id,
        "type": entry.event_type,
        "v": VERSION,
    })  # fmt: skip
    if len(body) > MOST_LEAF_BYTES:
        raise ValueError(f"a leaf has at most {MOST_LEAF_BYTES} bytes, this one {len(body)}")
    return Leaf(index, body, leaf_hash(body), seed)


def sequence_of(entry_id: UUID) -> int:
    """The sequence that an id of ours carries."""
    return entry_id.int & ((1 << SEQUENCE_BITS) - 1)


def instant(moment: datetime) -> str:
    """RFC 3339 with six decimals and `Z`; the moment is in UTC."""
    return f"{moment.isoformat(timespec='microseconds')[:26]}Z"


def now() -> str:
    """`instant` of the present."""
    return instant(datetime.now(UTC))


def _canonical(text: str) -> bytes:
    return orjson.dumps(orjson.loads(text), option=orjson.OPT_SORT_KEYS)
