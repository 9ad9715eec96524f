"""The verification: heads first, then every entry once, in order, then what only the whole log can tell."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice

from services.audit.verifier.blocks import Checked, check, missing_text
from services.audit.verifier.clock import Clock
from services.audit.verifier.findings import Finding, Findings, Kind
from services.audit.verifier.grove import Grove
from services.audit.verifier.heads import Head, Heads, Opened, open_head, open_heads
from services.audit.verifier.openings import Erasures
from services.audit.verifier.pool import Pool
from services.audit.verifier.producers import LONGEST_SILENCE_SECONDS, Producers
from services.audit.verifier.progress import Progress
from services.audit.verifier.prunes import Prunes
from services.audit.verifier.receipts import Receipt, Receipts
from services.audit.verifier.source import BLOCK, Job, Kept, Source
from services.audit.verifier.witnesses import NOBODY, Policy, Witnessed, Witnesses

NOTES_AT_ONCE = 256


@dataclass(slots=True)
class Verdict:
    """What was checked and what was found."""

    findings: Findings = field(default_factory=Findings)
    head: Head | None = None
    first: int = 0
    entries: int = 0
    unsigned: int = 0
    nodes: int = 0
    checkpoints: int = 0
    opened: int = 0
    erased: int = 0
    pruned: int = 0
    heartbeats: int = 0
    longest_silence: float = LONGEST_SILENCE_SECONDS
    """Seconds without a heartbeat that the auditor accepts."""
    receipts: int = 0
    last_time: str | None = None
    witnessed: Witnessed | None = None
    """The newest head that a quorum of the given witnesses cosigned."""


class Verification:
    """One run over one source."""

    def __init__(
        self,
        source: Source,
        *,
        longest_silence: float = LONGEST_SILENCE_SECONDS,
        receipts: Sequence[Receipt | Finding] = (),
        witnesses: Policy = NOBODY,
    ) -> None:
        self.verdict = Verdict(first=source.first, longest_silence=longest_silence)
        self._source = source
        self._findings = self.verdict.findings
        self._heads = Heads()
        self._witnesses = Witnesses(witnesses)
        self._grove = Grove(source)
        self._clock = Clock()
        self._erasures = Erasures()
        self._prunes = Prunes()
        promised = [one for one in receipts if isinstance(one, Receipt)]
        self._findings.extend([one for one in receipts if isinstance(one, Finding)])
        self._receipts = Receipts([*source.receipts(), *promised])
        self._producers = Producers(whole=source.first == 0, longest_silence=longest_silence)
        self._next = source.first
        self._doubtful = -1
        self._lost = 0

    def run(self, older: Iterable[Kept], pool: Pool, progress: Progress) -> Verdict:
        """Check everything. Raises Unreadable."""
        for text in self._source.notices():
            self._findings.leave_out(text)
        self._open_heads(older, pool)
        self._judge(self._next)
        work = partial(check, self._source, self._receipts.hashes)
        for checked in pool.map(work, self._jobs()):
            self._take(checked)
            progress.at(self._next - self._source.first)
        self._end()
        return self.verdict

    def _open_heads(self, older: Iterable[Kept], pool: Pool) -> None:
        kept = self._source.head()
        keys = self._witnesses.keys
        opened = open_head(kept, self._source.key, keys, Kind.ROOT) if kept is not None else None
        if opened is None:
            self._findings.add(Kind.SIGNATURE, 0, "there is no signed checkpoint")
        else:
            self._take_head(opened)
            self.verdict.head = opened.head
        for claim in self._source.claims():
            self._heads.add(Head(claim.size, claim.root, claim.label, Kind.ROOT, claim.frontier, is_signed=False))
        self._open_older([*older], self._source.older(), pool)
        self._heads.settle(self.verdict.head, self._findings)

    def _open_older(self, given: list[Kept], kept: Iterator[Kept], pool: Pool) -> None:
        opening = partial(open_heads, self._source.key, self._witnesses.keys, Kind.CONSISTENCY)
        for many in pool.map(opening, _batches(given, kept)):
            for one in many:
                self._take_head(one)
                self.verdict.checkpoints += one.head is not None

    def _take_head(self, opened: Opened) -> None:
        self._findings.extend(opened.findings)
        self._witnesses.take(opened)
        if opened.head is not None:
            self._heads.add(opened.head)

    def _jobs(self) -> Iterator[Job]:
        """The blocks, each with the sizes within it whose roots somebody signed.

        A file with a hole has its blocks further on than counting says, so cuts are given for some entries more.
        """
        sizes = self._heads.sizes
        for job in self._source.jobs():
            yield job._replace(
                cuts=sizes[bisect_right(sizes, job.first) : bisect_left(sizes, job.first + job.entries + BLOCK)]
            )

    def _take(self, checked: Checked) -> None:
        if checked.end == checked.first:
            return
        if checked.first < self._next:
            self._repeated(checked)
            return
        if checked.first > self._next:
            self._missing(self._next, checked.first)
        for size in sorted(checked.cuts):
            self._heads.judge(size, self._grove.trees(checked.cuts[size]), self._findings)
        self._findings.extend(checked.findings)
        self._grove.grow(checked, self._findings)
        self._judge(checked.end)
        self._count(checked)
        for run in checked.runs:
            self._producers.number(run, self._findings)
        for beat in checked.heartbeats:
            self._producers.heartbeat(beat._replace(doubtful=max(beat.doubtful, self._doubtful)), self._findings)
        for path, index in checked.erased:
            self._erasures.erased(path, index)
        for redaction in checked.redactions:
            self._erasures.redacted(redaction)
        self._prunes.gone(checked.gone)
        for announced in checked.announced:
            self._prunes.announced(announced)
        for index, promised in checked.receipts:
            self._receipts.seen(index, promised)
        self._clock.take(checked.stamps, self._findings)
        self._doubtful = max([self._doubtful, *checked.doubtful])
        self._next = max(self._next, checked.end)

    def _repeated(self, checked: Checked) -> None:
        """A block that does not begin where the last one ended, but before: it counts for nothing."""
        text = f"entry {checked.first} comes again, or out of its place"
        self._findings.add(Kind.MISSING, checked.first, text)
        self._findings.extend(checked.findings)
        self._grove.give_up(checked.first)
        self._next = max(self._next, checked.end)

    def _missing(self, first: int, end: int) -> None:
        self._findings.add(Kind.MISSING, first, missing_text(first, end))
        self._grove.give_up(first)
        self._lost += end - first
        self._doubtful = max(self._doubtful, end - 1)

    def _judge(self, size: int) -> None:
        self._heads.judge(size, self._grove.trees(), self._findings)

    def _count(self, checked: Checked) -> None:
        self.verdict.entries += checked.entries
        self.verdict.nodes += checked.nodes
        self.verdict.opened += checked.held
        self._lost += len(checked.doubtful)

    def _end(self) -> None:
        """What only the whole log can tell."""
        head = self.verdict.head
        expected = max(head.size if head else 0, self._source.counted())
        if self._next < expected:
            self._missing(self._next, expected)
        if head is not None and self._next > head.size and not self._source.keeps_unsigned:
            text = f"entries {head.size} to {self._next - 1} are beyond the head of size {head.size}"
            self._findings.add(Kind.MISSING, head.size, text)
        if self._grove.broken_at is not None:
            self._findings.leave_out(f"roots above size {self._grove.broken_at}: that entry is missing or changed")
        before = [size for size in self._heads.sizes if size < self._source.first]
        if before:
            self._findings.leave_out(f"{len(before)} checkpoints of sizes before entry {self._source.first}")
        clock = self._clock
        self._producers.end(first_time=clock.first, last=clock.last, doubtful=self._doubtful, findings=self._findings)
        self._producers.gaps(lost=self._lost, findings=self._findings)
        self._findings.extend(self._erasures.findings())
        self._findings.extend(self._prunes.findings())
        self._receipts.judge(
            first=self._source.first, until=clock.last[1] if clock.last else None, findings=self._findings
        )
        verdict = self.verdict
        verdict.witnessed = self._witnesses.judge(head, clock.last[1] if clock.last else None, self._findings)
        verdict.unsigned = max(0, self._next - max(head.size, self._source.first)) if head else 0
        verdict.nodes += self._grove.nodes
        verdict.pruned = self._prunes.count()
        verdict.erased, verdict.heartbeats = self._erasures.count(), self._producers.heartbeats
        verdict.receipts = len(self._receipts.all)
        verdict.last_time = clock.last[1] if clock.last else None


def _batches(given: list[Kept], kept: Iterator[Kept]) -> Iterator[list[Kept]]:
    for start in range(0, len(given), NOTES_AT_ONCE):
        yield given[start : start + NOTES_AT_ONCE]
    while batch := list(islice(kept, NOTES_AT_ONCE)):
        yield batch
