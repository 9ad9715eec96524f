"""Producers' numbers and heartbeats: nothing that a producer numbered is missing, and the log was never silent for long."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import NamedTuple

from services.audit.verifier.findings import Findings, Kind
from services.audit.verifier.leaves import Flaw, Leaf
from services.audit.verifier.spans import Spans

LONGEST_SILENCE_SECONDS = 90.0
MOST_PRODUCERS = 10_000
"""Producers that are judged one by one; the platform has four."""

MOST_HOLES = 100_000
"""Holes in the numbers whose place in the log is remembered."""


Number = tuple[str, int | None, int]
"""Producer, number and entry of one leaf; None for a producer that does not number."""


class Run(NamedTuple):
    """Consecutive numbers of one producer in consecutive order; `place` is the entry of the first."""

    producer: str
    first: int
    last: int
    place: int


class Heartbeat(NamedTuple):
    """A sign of life at a time (RFC 3339), and the highest number of each producer by then."""

    place: int
    at: str
    highest: Mapping[str, int]
    doubtful: int = -1
    """The last entry before it that is missing or changed; -1 for none."""


def runs_of(numbers: Iterable[Number]) -> list[Run]:
    """These numbers as few runs, in the order of their entries."""
    ended: list[Run] = []
    running: dict[str, list[int]] = {}
    for producer, number, place in numbers:
        if number is None:
            continue
        run = running.get(producer)
        if run is not None and number == run[1] + 1:
            run[1] = number
        else:
            if run is not None:
                ended.append(Run(producer, *run))
            running[producer] = [number, number, place]
    ended += [Run(producer, *run) for producer, run in running.items()]
    return sorted(ended, key=lambda run: run.place)


def heartbeat_of(leaf: Leaf) -> Heartbeat:
    """What a heartbeat says. Raises Flaw when it does not say it in the agreed form."""
    public = leaf.public or {}
    producers, at = public.get("producers"), public.get("at", leaf.occurred_at)
    if not isinstance(producers, dict) or not all(type(number) is int for number in producers.values()):
        raise Flaw("a heartbeat names the highest number of each producer")
    try:
        if not isinstance(at, str) or datetime.fromisoformat(at).tzinfo is None:
            raise ValueError
    except ValueError as error:
        raise Flaw("a heartbeat's time is not a time with its zone") from error
    return Heartbeat(leaf.place, at, producers)


class Producers:
    """All numbers and heartbeats of a log, taken in by index. Late numbers are listed, missing and repeated ones are findings."""

    def __init__(self, *, whole: bool, longest_silence: float = LONGEST_SILENCE_SECONDS) -> None:
        self.heartbeats = 0
        self._whole = whole
        self._longest = longest_silence
        self._seen: dict[str, Spans] = defaultdict(Spans)
        self._began: dict[tuple[str, int], int] = {}
        self._promised: dict[str, tuple[int, int]] = {}
        self._last: tuple[datetime, int] | None = None

    def number(self, run: Run, findings: Findings) -> None:
        """Take in consecutive numbers."""
        if run.producer not in self._seen and len(self._seen) >= MOST_PRODUCERS:
            findings.leave_out(f"numbers of more than {MOST_PRODUCERS} producers")
            return
        spans = self._seen[run.producer]
        highest = spans.highest()
        if (highest is None or run.first != highest + 1) and len(self._began) < MOST_HOLES:
            self._began.setdefault((run.producer, run.first), run.place)
        repeated = spans.add(run.first, run.last)
        if repeated is not None:
            text = f"number {repeated} of {run.producer} comes again, at or after entry {run.place}"
            findings.add(Kind.PRODUCER, run.place, text)
        elif highest is not None and run.first < highest:
            findings.warn(
                "late", run.place,
                f"entry {run.place} has number {run.first} of {run.producer}, after its number {highest}",
            )  # fmt: skip

    def heartbeat(self, beat: Heartbeat, findings: Findings) -> None:
        """Take in a sign of life."""
        self.heartbeats += 1
        at = datetime.fromisoformat(beat.at)
        if self._last is not None:
            self._silence(at, beat.place, beat.doubtful, findings)
        if self._last is None or at > self._last[0]:
            self._last = (at, beat.place)
        for producer, number in beat.highest.items():
            if number > self._promised.get(producer, (0, 0))[0]:
                self._promised[producer] = (number, beat.place)

    def _silence(self, until: datetime, index: int, doubtful: int, findings: Findings) -> None:
        assert self._last is not None
        since, before = self._last
        seconds = (until - since).total_seconds()
        if seconds <= self._longest:
            return
        text = (
            f"{seconds:.0f} s without a heartbeat, from entry {before} to entry {index} (at most {self._longest:.0f} s)"
        )
        if doubtful > before:
            findings.leave_out(f"{text}: entry {doubtful}, missing or changed, may have been one")
        else:
            findings.add(Kind.PRODUCER, before, text)

    def end(self, *, first_time: str | None, last: tuple[int, str] | None, doubtful: int, findings: Findings) -> None:
        """The log is over: silence up to its last entry. `last` is that entry's index and time."""
        if first_time is None or last is None:
            return
        until = datetime.fromisoformat(last[1])
        if self._last is None:
            since = datetime.fromisoformat(first_time)
            if (until - since).total_seconds() > self._longest:
                findings.add(Kind.PRODUCER, last[0], f"no heartbeat at all in {(until - since).total_seconds():.0f} s")
        else:
            self._silence(until, last[0], doubtful, findings)

    def gaps(self, *, lost: int, findings: Findings) -> None:
        """Numbers that are not there. As many as entries are missing or changed (`lost`) are theirs, and found already."""
        gaps = [*self._holes(), *self._broken_promises(findings)]
        absent = sum(count for count, _, _ in gaps)
        if absent > lost:
            for _, index, text in gaps:
                findings.add(Kind.PRODUCER, index, text)
        elif absent:
            findings.leave_out(f"{absent} numbers of producers are not there; {lost} entries are missing or changed")

    def _holes(self) -> Iterable[tuple[int, int, str]]:
        for producer, spans in sorted(self._seen.items()):
            for first, last in spans.holes():
                which = f"number {first}" if first == last else f"numbers {first} to {last}"
                after = self._began.get((producer, last + 1), 0)
                yield (
                    last - first + 1,
                    after,
                    f"{which} of {producer} {'is' if first == last else 'are'} missing before entry {after}",
                )

    def _broken_promises(self, findings: Findings) -> Iterable[tuple[int, int, str]]:
        for producer, (number, index) in sorted(self._promised.items()):
            highest = self._seen[producer].highest() if producer in self._seen else None
            if highest is None and not self._whole and number > 0:
                findings.leave_out(
                    f"the number {number} that a heartbeat names of {producer}: it has none in this range"
                )
            elif number > (highest or 0):
                text = f"the heartbeat at entry {index} knows number {number} of {producer}, the log has {highest or 'none'}"
                yield number - (highest or 0), index, text
