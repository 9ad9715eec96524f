"""Receipts: what a producer was promised to find in the log, with the leaf hash it will have.

They are lines of JSON beside a directory of tiles, or signed notes of the receipts' own key, as whoever sent an event keeps
them: its name, a line that says what the note is, and the same JSON.
"""

import json
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from services.audit.verifier.findings import Finding, Findings, Kind, Unreadable
from services.audit.verifier.lines import lines_of
from services.audit.verifier.notes import NotANote, VerifierKey, open_note, strict_base64

MOST_RECEIPTS = 1_000_000
HEADER = "reeve audit receipt v1"
DUE_SECONDS = 60.0
"""A receipt younger than this by the log's own clock may still be waiting for its place."""


class Receipt(NamedTuple):
    """A promise, of a certain place where one was promised."""

    event_id: str
    leaf_hash: bytes
    time: str
    place: int | None


def read_receipts(path: Path) -> list[Receipt]:
    """The receipts of a file, one JSON object a line. Raises Unreadable."""
    found: list[Receipt] = []
    for number, line in enumerate(lines_of(path), 1):
        if len(found) >= MOST_RECEIPTS:
            raise Unreadable(f"{path}: more than {MOST_RECEIPTS} receipts")
        found.append(_receipt(line, f"{path}: line {number}"))
    return found


def open_receipt(note: str, key: VerifierKey, label: str) -> Receipt | Finding:
    """The promise in a note, or why it is none: not signed by the key, or of something else than a receipt."""
    try:
        lines = open_note(note, key).split("\n")
        if len(lines) != 4 or lines[:2] != [key.name, HEADER] or lines[3] != "":
            raise NotANote("it is signed, and no receipt")
        return _receipt(lines[2].encode(), label)
    except (NotANote, Unreadable) as error:
        return Finding(Kind.SIGNATURE, 0, f"{label}: {error}")


def _receipt(line: bytes, where: str) -> Receipt:
    try:
        said = json.loads(line)
        index = said.get("index")
        datetime.fromisoformat(said["time"])
        one = Receipt(str(said["event_id"]), strict_base64(said["leaf_hash"]), said["time"], index)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Unreadable(f"{where} is no receipt") from error
    if len(one.leaf_hash) != 32 or not (index is None or type(index) is int):
        raise Unreadable(f"{where} is no receipt")
    return one


class Receipts:
    """The receipts, and where the leaves that they promise were seen."""

    def __init__(self, receipts: list[Receipt]) -> None:
        self.all = receipts
        self.hashes = frozenset(one.leaf_hash for one in receipts)
        self._seen: dict[bytes, int] = {}

    def seen(self, index: int, leaf_hash: bytes) -> None:
        """A leaf with a promised hash stands at this index."""
        self._seen.setdefault(leaf_hash, index)

    def judge(self, *, first: int, until: str | None, findings: Findings) -> None:
        """The log, of which this part begins at `first`, is over at a time: what was promised and is not there, or at
        another place."""
        for one in self.all:
            index = self._seen.get(one.leaf_hash)
            if one.place is not None and one.place < first:
                findings.leave_out(f"receipts for places before entry {first}")
                continue
            if index is not None and one.place in (None, index):
                continue
            if index is not None:
                text = f"event {one.event_id[:80]} was promised place {one.place}, and is at {index}"
                findings.add(Kind.MISSING, one.place or 0, text)
            elif until is not None and (datetime.fromisoformat(until) - _aware(one.time)).total_seconds() > DUE_SECONDS:
                text = f"event {one.event_id[:80]} has a receipt of {one.time} and is not in the log"
                findings.add(Kind.MISSING, one.place or 0, text)
            else:
                findings.leave_out("receipts younger than the log's last minute")


def _aware(time: str) -> datetime:
    at = datetime.fromisoformat(time)
    return at if at.tzinfo else at.astimezone()
