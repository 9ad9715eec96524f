"""Receipts: what whoever sent an event can hold in hand as soon as its entry is stored, before a checkpoint reaches it.

A receipt is a signed note of a key of its own, called `<the log's name>/receipts`. Its text is that name, a line that says what
it is, and the promise as JSON on one line; a checkpoint has a size in its second line, so none can be taken for the other.
"""

import base64
from datetime import datetime

import orjson

from libs.common.events.envelope import rfc3339
from services.audit.log.notes import SigningKey

SUFFIX = "/receipts"
HEADER = "reeve audit receipt v1"


def receipt(key: SigningKey, *, event_id: str, index: int, leaf_hash: bytes, time: datetime) -> str:
    """The note that promises the leaf hash at this index of the log to whoever holds it; `time` is when it was given."""
    promise = {
        "event_id": event_id,
        "index": index,
        "leaf_hash": base64.b64encode(leaf_hash).decode(),
        "time": rfc3339(time),
    }
    return key.sign(f"{key.name}\n{HEADER}\n{orjson.dumps(promise).decode()}\n")
