"""Checking one block of entries, in whichever process: bytes, hashes, nodes, forms and openings; and what the whole must know."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from services.audit.verifier.clock import Stamp, condensed
from services.audit.verifier.columns import difference
from services.audit.verifier.findings import Finding, Kind
from services.audit.verifier.glance import glance
from services.audit.verifier.leaves import HEARTBEAT, PRUNED, REDACTED, Flaw, Leaf, is_special, read_leaf
from services.audit.verifier.openings import Redaction, judge, redaction_of
from services.audit.verifier.producers import Heartbeat, Number, Run, heartbeat_of, runs_of
from services.audit.verifier.prunes import Announced, announced_by
from services.audit.verifier.source import ABSENT, HASH, NODE_LEVELS, Job, Row, Source
from services.audit.verifier.spans import Spans
from services.audit.verifier.tree import Level, Peak, leaf_hash, levels_over, peaks_over

Grown = list[Peak] | None
"""What a tree gains by a block; None when a hash that it needs is not there."""


@dataclass(slots=True)
class Checked:
    """What a block is like. `end` is the index after its last entry; `own` and `kept` are what trees of the hashes of the
    bytes and of the stored leaf hashes gain, `cuts` the same up to sizes within the block."""

    first: int
    end: int
    entries: int = 0
    nodes: int = 0
    held: int = 0
    own: Grown = None
    kept: Grown = None
    cuts: dict[int, tuple[Grown, Grown]] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    doubtful: list[int] = field(default_factory=list)
    erased: list[tuple[str, int]] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)
    heartbeats: list[Heartbeat] = field(default_factory=list)
    redactions: list[Redaction] = field(default_factory=list)
    gone: dict[str, list[int]] = field(default_factory=dict)
    announced: list[Announced] = field(default_factory=list)
    stamps: list[Stamp] = field(default_factory=list)
    receipts: list[tuple[int, bytes]] = field(default_factory=list)

    def found(self, kind: Kind, index: int, text: str) -> None:
        self.findings.append(Finding(kind, index, text))


def check(source: Source, receipts: Collection[bytes], job: Job) -> Checked:
    """Check one block of a source. Raises Unreadable when its rows cannot be read."""
    rows = source.rows(job)
    if not rows:
        return Checked(job.first, job.first)
    checked = Checked(rows[0].place, rows[-1].place + 1)
    in_order = _in_order(rows, checked)
    if not in_order:
        rows = _first_of_each(rows)
    _find_missing(rows, checked)
    own = [None if row.data is None else leaf_hash(row.data) for row in rows]
    kept = [mine if row.stored is None else row.stored for row, mine in zip(rows, own, strict=True)]
    numbers: list[Number] = []
    stamps: list[Stamp] = []
    for row, mine in zip(rows, own, strict=True):
        seen = glance(row, mine)
        if seen is not None:
            checked.entries += 1
            checked.held += seen.held
            stamps.append((row.place, seen.received_at))
            numbers.append((seen.producer, seen.number, row.place))
        elif (leaf := _leaf(row, mine, checked)) is not None:
            stamps.append((leaf.place, leaf.received_at))
            numbers.append((leaf.producer, leaf.producer_seq, leaf.place))
            if leaf.public is not None:
                _hear(leaf, checked)
        if receipts and mine in receipts:
            checked.receipts.append((row.place, mine or b""))
    checked.runs, checked.stamps = runs_of(numbers), condensed(stamps)
    if in_order:
        _grow(source, own, kept, job.cuts, checked)
    return checked


def _in_order(rows: Sequence[Row], checked: Checked) -> bool:
    """Whether the rows follow each other without a hole; else where they do not."""
    if rows[-1].place - rows[0].place + 1 == len(rows) and all(
        row.place == place for place, row in enumerate(rows, rows[0].place)
    ):
        return True
    expected = rows[0].place
    for row in rows:
        if row.place > expected:
            checked.found(Kind.MISSING, expected, missing_text(expected, row.place))
            checked.doubtful.extend(range(expected, min(row.place, expected + len(rows))))
        elif row.place < expected:
            checked.found(Kind.MISSING, row.place, f"entry {row.place} comes again, or out of its place")
        expected = max(expected, row.place + 1)
    checked.end = expected
    return False


def _first_of_each(rows: Sequence[Row]) -> list[Row]:
    """The rows that stand above all before them: what comes again counts for nothing."""
    found: list[Row] = []
    for row in rows:
        if not found or row.place > found[-1].place:
            found.append(row)
    return found


def _find_missing(rows: Sequence[Row], checked: Checked) -> None:
    """Rows that are known to be missing, one finding for each run of them."""
    missing = Spans()
    for row in rows:
        if row.data is None:
            missing.add(row.place, row.place)
            checked.doubtful.append(row.place)
    for first, last in missing:
        checked.found(Kind.MISSING, first, missing_text(first, last + 1))


def missing_text(first: int, end: int) -> str:
    """How a hole [first, end) is told."""
    return f"entry {first} is missing" if end == first + 1 else f"entries {first} to {end - 1} are missing"


def _leaf(row: Row, own: bytes | None, checked: Checked) -> Leaf | None:
    """The leaf of a row, when it is there, as it was stored, and well-formed."""
    index = row.place
    if row.data is None:
        return None
    checked.entries += 1
    try:
        leaf = read_leaf(row.data, index)
    except Flaw as flaw:
        checked.found(Kind.LEAF, index, f"entry {index}: {flaw}")
        leaf = None
    if row.stored is not None and row.stored != own:
        checked.found(Kind.LEAF, index, f"entry {index}: the stored leaf hash is not that of its bytes")
        leaf = None
    if leaf is None:
        checked.doubtful.append(index)
        return None
    if row.lost is not None:
        checked.found(Kind.MISSING, index, f"entry {index}: {row.lost}")
    if row.is_gone:
        checked.gone.setdefault(leaf.type, []).append(index)
    if row.table is not None and (other := difference(leaf, row.table)):
        checked.found(Kind.LEAF, index, f"entry {index}: {other}")
    if row.openings:
        held, erased, findings = judge(leaf, row.openings)
        checked.held += held
        checked.erased += [(path, index) for path in erased]
        checked.findings += findings
    return leaf


def _hear(leaf: Leaf, checked: Checked) -> None:
    """What the log itself says in a leaf."""
    try:
        if is_special(leaf, HEARTBEAT):
            doubtful = max((one for one in checked.doubtful if one < leaf.place), default=-1)
            checked.heartbeats.append(heartbeat_of(leaf)._replace(doubtful=doubtful))
        elif is_special(leaf, REDACTED):
            checked.redactions.append(redaction_of(leaf))
        elif is_special(leaf, PRUNED):
            checked.announced.extend(announced_by(leaf))
    except Flaw as flaw:
        checked.found(Kind.LEAF, leaf.place, f"entry {leaf.place}: {flaw}")


def _grow(
    source: Source, own: list[bytes | None], kept: list[bytes | None], cuts: Sequence[int], checked: Checked
) -> None:
    """The trees over the block, and whether the stored nodes are theirs."""
    first, end = checked.first, checked.end
    of_own = _levels(first, own)
    of_kept = of_own if own == kept else _levels(first, kept)
    for cut in cuts:
        if first < cut < end:
            checked.cuts[cut] = (_peaks(of_own, first, cut), _peaks(of_kept, first, cut))
    checked.own, checked.kept = _peaks(of_own, first, end), _peaks(of_kept, first, end)
    known = of_own or of_kept
    if known:
        for height in NODE_LEVELS:
            if height < len(known):
                _compare(source, height, [levels[height] for levels in (of_own, of_kept) if levels], checked)


def _levels(first: int, hashes: list[bytes | None]) -> list[Level] | None:
    there = [one for one in hashes if one is not None]
    return levels_over(first, there) if len(there) == len(hashes) else None


def _peaks(levels: list[Level] | None, first: int, end: int) -> Grown:
    return None if levels is None else peaks_over(levels, first, end)


def _compare(source: Source, height: int, candidates: Sequence[Level], checked: Checked) -> None:
    start = candidates[0].start
    count = min(len(candidates[0].hashes), max(0, (source.nodes_until >> height) - start))
    stored = source.stored(height, start, count)
    checked.nodes += count
    if any(stored == b"".join(level.hashes[:count]) for level in candidates):
        return
    for place in range(count):
        found = judge_node(
            height, start + place, stored[place * HASH :][:HASH], [one.hashes[place] for one in candidates]
        )
        if found is not None:
            checked.findings.append(found)


def judge_node(height: int, index: int, stored: bytes, computed: Sequence[bytes]) -> Finding | None:
    """A stored node held against what the leaves give."""
    if stored in computed:
        return None
    first = index << height
    which = f"node {index} of level {height} (entries {first} to {first + (1 << height) - 1})"
    if len(stored) < HASH or stored == ABSENT:
        return Finding(Kind.MISSING, first, f"{which} is missing")
    return Finding(Kind.LEAF, first, f"{which} is not the hash of what is below it")
