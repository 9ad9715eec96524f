"""What a redaction takes from an entry. Pure.

What tells of a person is erased where they acted (who, from where, with what) and where they are the target (what was done
to them). What they did to other things is the platform's history and stays, unless it repeats who or where they are, or is their own.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from libs.common.events.users import UserErased
from services.audit.models.commitments import PATHS, private_values
from services.audit.models.entries import NOT_SOUGHT, Entry
from services.audit.models.words import words_of

ACTS_AS_ADMIN = "user"
"""The type of a subject that acts: an administrator, whose id is an entry's `admin_user_id`."""
IDENTITY = ("/admin_username", "/ip_address", "/user_agent")
CONTENT = ("/changes", "/details")
OWN = frozenset({"saved_search"})
"""Types of things that are their maker's own, what they are called included."""

Span = int | tuple[int, int]
"""A sequence number, or the first and the last of a range."""


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom a redaction is about: a target's type and id; an administrator is the type `user`."""

    type: str
    id: str


def lost_by(redactions: str | None) -> frozenset[str]:
    """The members, as paths, that an entry's column of this name says were erased."""
    return frozenset(f"/{member}" for mark in orjson.loads(redactions or "[]") for member in mark["members"])


@dataclass(frozen=True, slots=True)
class Found:
    """An entry at its place, and the members that it lost to earlier redactions."""

    sequence: int
    entry: Entry
    lost: frozenset[str]


def concerns(subject: Subject, found: Found) -> tuple[str, ...]:
    """The members, as paths in order, that tell of the subject and are still there."""
    entry = found.entry
    acted = subject.type == ACTS_AS_ADMIN and entry.admin_user_id == subject.id
    is_target = (entry.target_type, entry.target_id) == (subject.type, subject.id)
    # Whoever came to somebody's account without a name, to sign in or by the word of a provider, was them or pretended to be.
    came = subject.type == ACTS_AS_ADMIN and is_target and entry.admin_user_id is None
    wanted: set[str] = set(IDENTITY) if acted or came else set()
    own = acted and (entry.target_type in OWN or _repeats_itself(entry))
    if (is_target or own) and entry.event_type != UserErased.TYPE:
        # What says that somebody was erased holds nothing of theirs, and is what their history ends with.
        wanted.update(CONTENT)
    there = {path for path, value in zip(PATHS, private_values(entry), strict=True) if value is not None}
    return tuple(path for path in PATHS if path in (wanted & there) - found.lost)


def _repeats_itself(entry: Entry) -> bool:
    """Whether details or changes say again who acted or from where."""
    said = f"{entry.details}{entry.changes or ''}"
    return any(known and known in said for known in (entry.admin_username, entry.ip_address, entry.user_agent))


def words_left(entry: Entry, paths: Iterable[str]) -> list[str]:
    """The words that what stays of the entry gives; whoever stores them keeps those alone that it had before."""
    gone = frozenset(paths)
    values: list[Any] = []
    if "/details" not in gone:
        values += [value for name, value in _members(entry.details).items() if name not in NOT_SOUGHT]
    if "/changes" not in gone and entry.changes is not None:
        changed = _members(entry.changes)
        values += [changed, *changed]
    username = None if "/admin_username" in gone else entry.admin_username
    return words_of((entry.action, entry.event_type, entry.target_type, entry.target_id, username), *values)


def spans_of(places: Iterable[int]) -> Sequence[Span]:
    """Ascending places as few numbers and ranges: `7, 9, 10, 11` is `7` and `(9, 11)`."""
    spans: list[tuple[int, int]] = []
    for place in places:
        if spans and place == spans[-1][1] + 1:
            spans[-1] = (spans[-1][0], place)
        else:
            spans.append((place, place))
    return [first if first == last else (first, last) for first, last in spans]


def _members(text: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = orjson.loads(text)
    return found
