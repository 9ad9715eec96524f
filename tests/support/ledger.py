"""The ledger: what a driver meant to do and what it was told, in a file outside the system; and its checker.

Every operation leaves one line before it is sent and one when its reply is there. The checker compares
them with what was found in each place where the operation leaves its mark, in the classes that Jepsen
uses: an acknowledged mark that is missing is lost, a second one is duplicated, an unacknowledged one that
is there all the same is recovered, and one that nobody sent, or that was refused, is unexpected.
"""

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from time import time
from typing import Any


class Reply(StrEnum):
    """What the driver knows of an operation."""

    OK = "ok"
    REFUSED = "refused"
    """Never sent, or answered by a refusal: it must leave nothing."""
    UNKNOWN = "unknown"
    """No answer, or one that leaves it open: it may have happened once."""


class Ledger:
    """An append-only file with a line for each intention, each reply and each fault."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._next = 0

    def intend(self, kind: str, mark: str, *, group: str = "") -> int:
        """Write down an operation before it is sent. `mark` is unique; a group's operations follow one another."""
        self._next += 1
        self._write(op=self._next, kind=kind, mark=mark, group=group)
        return self._next

    def reply(self, op: int, reply: Reply, note: str = "") -> None:
        """Write down what the driver was told."""
        self._write(op=op, reply=reply.value, note=note)

    def fault(self, name: str) -> None:
        """Write down what was done to the system."""
        self._write(fault=name)

    def close(self) -> None:
        """Close the file, which stays."""
        os.close(self._file)

    def _write(self, **line: object) -> None:
        os.write(self._file, json.dumps({"at": round(time(), 4), **line}).encode() + b"\n")


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation as the ledger has it. Without a reply it is unknown."""

    op: int
    kind: str
    mark: str
    group: str
    reply: Reply


Found = Mapping[str, Sequence[str]]
"""By place, the marks found there, in the order in which they took effect."""


@dataclass(slots=True)
class Verdict:
    """How often each class occurred, with the operations that are not as they should be."""

    ok: int = 0
    refused: int = 0
    unknown: int = 0
    recovered: int = 0
    lost: list[str] = field(default_factory=list)
    duplicated: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    misordered: list[str] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)

    @property
    def is_clean(self) -> bool:
        """Nothing lost, nothing twice, nothing out of nowhere, nothing out of order."""
        return not (self.lost or self.duplicated or self.unexpected or self.misordered)

    def __str__(self) -> str:
        wrong = {name: getattr(self, name) for name in ("lost", "duplicated", "unexpected", "misordered")}
        return (
            f"ok {self.ok}, refused {self.refused}, unknown {self.unknown} (recovered {self.recovered}), "
            + ", ".join(f"{name} {len(found)}" for name, found in wrong.items())
            + f", faults {sum(self.faults.values())}"
            + "".join(f"\n  {name}: {', '.join(found[:8])}" for name, found in wrong.items() if found)
        )


def read(path: Path) -> tuple[list[Operation], Counter[str]]:
    """The operations and the faults of a ledger."""
    intended: dict[int, dict[str, str]] = {}
    replies: dict[int, Reply] = {}
    faults: Counter[str] = Counter()
    for line in _lines(path):
        if "fault" in line:
            faults[line["fault"]] += 1
        elif "reply" in line:
            replies[line["op"]] = Reply(line["reply"])
        else:
            intended[line["op"]] = {name: line[name] for name in ("kind", "mark", "group")}
    operations = [Operation(op=op, reply=replies.get(op, Reply.UNKNOWN), **one) for op, one in intended.items()]
    return operations, faults


def check(path: Path, found: Found, *, places: Mapping[str, Sequence[str]]) -> Verdict:
    """Compare a ledger with what was found. `places` names, by kind, where an operation leaves its mark."""
    operations, faults = read(path)
    counts = {place: Counter(marks) for place, marks in found.items()}
    verdict = Verdict(faults=faults)
    for one in operations:
        _judge(one, {place: counts[place][one.mark] for place in places[one.kind]}, verdict)
    _find_strangers(operations, counts, places, verdict)
    _find_misordered(operations, found, places, verdict)
    return verdict


def _judge(one: Operation, times: Mapping[str, int], verdict: Verdict) -> None:
    missing = [place for place, count in times.items() if count == 0]
    verdict.duplicated += [f"{one.mark} x{count} in {place}" for place, count in times.items() if count > 1]
    match one.reply:
        case Reply.OK:
            verdict.ok += 1
            verdict.lost += [f"{one.mark} in {place}" for place in missing]
        case Reply.UNKNOWN:
            verdict.unknown += 1
            if len(missing) < len(times):
                verdict.recovered += 1
                verdict.lost += [f"{one.mark} in {place}, though it is elsewhere" for place in missing]
        case Reply.REFUSED:
            verdict.refused += 1
            verdict.unexpected += [f"{one.mark} in {place}, though refused" for place in times if place not in missing]


def _find_strangers(
    operations: Sequence[Operation],
    counts: Mapping[str, Counter[str]],
    places: Mapping[str, Sequence[str]],
    verdict: Verdict,
) -> None:
    known = {(place, one.mark) for one in operations for place in places[one.kind]}
    for place, marks in counts.items():
        verdict.unexpected += [f"{mark} in {place}, never sent" for mark in marks if (place, mark) not in known]


def _find_misordered(
    operations: Sequence[Operation], found: Found, places: Mapping[str, Sequence[str]], verdict: Verdict
) -> None:
    """The acknowledged operations of one group were sent one after the other, and so must have taken effect."""
    acknowledged = {one.mark: one for one in operations if one.reply is Reply.OK and one.group}
    for place, marks in found.items():
        last: dict[str, int] = {}
        for mark in dict.fromkeys(marks):
            one = acknowledged.get(mark)
            if one is None or place not in places[one.kind]:
                continue
            if one.op < last.get(one.group, 0):
                verdict.misordered.append(f"{mark} in {place}")
            last[one.group] = max(one.op, last.get(one.group, 0))


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)
