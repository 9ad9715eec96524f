"""Whether an ordinary entry holds, seen at one glance: nearly all do, and need not be taken apart to be told what is wrong.

A glance says that all holds, or nothing at all. Whatever it does not vouch for is judged member by member.
"""

from binascii import b2a_base64
from operator import itemgetter
from typing import NamedTuple

from services.audit.verifier.columns import agree
from services.audit.verifier.leaves import MOST_LEAF_BYTES
from services.audit.verifier.openings import Openings, Seeded, commitment, commitments
from services.audit.verifier.ordinary import GROUPS, PATHS, TOLD, Ordinary, ordinary
from services.audit.verifier.source import Row

_place, _occurred_at = itemgetter(GROUPS.index("index")), itemgetter(GROUPS.index("occurred_at"))
_told = itemgetter(*map(GROUPS.index, TOLD))
_commits = itemgetter(*map(GROUPS.index, PATHS))
_AT = {path: GROUPS.index(path) for path in PATHS}
_rest = itemgetter(*map(GROUPS.index, ("producer", "producer_seq", "received_at")))


class Seen(NamedTuple):
    """What the whole must know of an entry that holds; `held` is how many of its commitments were opened."""

    producer: str
    number: int | None
    received_at: str
    held: int


def glance(row: Row, own: bytes | None) -> Seen | None:
    """Look at an entry whose bytes, if it has any, have this leaf hash. None: it may hold or not."""
    data = row.data
    if data is None or len(data) > MOST_LEAF_BYTES or row.lost is not None or row.is_gone:
        return None
    if row.stored is not None and row.stored != own:
        return None
    try:
        said = ordinary(data.decode())
    except UnicodeDecodeError:
        return None
    if said is None or _place(said) != str(row.place):
        return None
    if row.table is not None and not agree(_told(said), _occurred_at(said), row.table):
        return None
    held = _held(said, row.openings) if row.openings else 0
    if held is None:
        return None
    producer, number, received_at = _rest(said)
    return Seen(producer, None if number is None else int(number), received_at, held)


def _held(said: Ordinary, shown: Openings | Seeded) -> int | None:
    """How many commitments were opened, if all that is shown holds."""
    if isinstance(shown, Seeded):
        made = commitments(shown)
        return len(PATHS) - made.count(None) if made == _commits(said) else None
    for path, (salt, text, _) in shown.items():
        if salt is None or text is None or path not in _AT:
            return None
        if b2a_base64(commitment(salt, path, text), newline=False).decode() != said[_AT[path]]:
            return None
    return len(shown)
