"""Whether a stored leaf, the entry it speaks of, and what opens its commitments still say the same. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from services.audit.log.tree import leaf_hash
from services.audit.models.commitments import PATHS, opens, private_values, salt_of
from services.audit.models.entries import Entry
from services.audit.models.leaves import leaf_of

ERASED = {"/details": "{}"}
"""What stands where a member was that an erasure took, where it is not null."""
HASH, MISSING, ENTRY, COMMITMENT = "leaf_hash", "entry_missing", "entry_changed", "commitment"


@dataclass(frozen=True, slots=True)
class Stored:
    """What is stored at one place of the log. `salts` are those that an erasure left, by path, and `lost` the members that
    the entry says it lost."""

    sequence: int
    body: bytes
    leaf_hash: bytes
    entry: Entry | None
    entry_id: str | None
    seed: bytes | None
    salts: Mapping[str, bytes]
    lost: frozenset[str]
    is_announced: bool = False
    """The log says that the entry is pruned."""


def problem_of(stored: Stored) -> str | None:
    """What is wrong at this place; None where all holds. What was erased cannot be opened, and that is no
    problem where the entry says so; whether the log itself says so is for the offline verifier."""
    if leaf_hash(stored.body) != stored.leaf_hash:
        return HASH
    if stored.entry is None and stored.is_announced:
        return None
    if stored.entry is None or stored.entry_id is None:
        return MISSING
    said: dict[str, Any] = orjson.loads(stored.body)
    again = leaf_of(
        stored.entry,
        index=stored.sequence,
        entry_id=stored.entry_id,
        received_at=said["received_at"],
        is_numbered=said["producer_seq"] is not None,
        seed=stored.seed or bytes(32),
    )
    if again.body == stored.body:
        return None
    made: dict[str, Any] = orjson.loads(again.body)
    if {**said, "commits": None} != {**made, "commits": None}:
        return ENTRY
    return None if _opens_all(stored, stored.entry, said["commits"]) else COMMITMENT


def _opens_all(stored: Stored, entry: Entry, commits: Mapping[str, str]) -> bool:
    """Whether every member whose salt is there is the one that was committed to, and none came or went."""
    for path, value in zip(PATHS, private_values(entry), strict=True):
        salt = salt_of(stored.seed, path) if stored.seed else stored.salts.get(path)
        if salt is None:
            if path in commits and (path not in stored.lost or value not in (None, ERASED.get(path))):
                return False
            continue
        if value is None or path not in commits:
            if value is not None or path in commits:
                return False
        elif not opens(commits[path], path=path, salt=salt, value=value):
            return False
    return True
