"""What is said at the end: for people as text, for programs as JSON. The shape of the JSON is in the service's README."""

import base64
from collections.abc import Iterator, Mapping

from services.audit.verifier.findings import ALL_HOLDS, Heap
from services.audit.verifier.verify import Verdict

NAMES = {
    "SIGNATURE": "signature", "ROOT": "root", "LEAF": "leaf", "MISSING": "missing entry", "CONSISTENCY": "consistency",
    "PRODUCER": "producer gap", "COMMITMENT": "commitment",
}  # fmt: skip
WARNINGS = {"late": "numbers that came late", "time": "times that step back"}


def as_json(verdict: Verdict, *, path: str, seconds: float) -> dict[str, object]:
    """All of it, as what JSON can say."""
    head = verdict.head
    return {
        "format": "reeve-audit-verdict/1",
        "holds": verdict.findings.exit_code() == ALL_HOLDS,
        "exit_code": verdict.findings.exit_code(),
        "path": path,
        "head": None if head is None else {"size": head.size, "root": base64.b64encode(head.root).decode()},
        "checked": {
            "first": verdict.first, "entries": verdict.entries, "beyond_head": verdict.unsigned, "nodes": verdict.nodes,
            "older_checkpoints": verdict.checkpoints, "opened": verdict.opened, "erased": verdict.erased, "pruned": verdict.pruned,
            "heartbeats": verdict.heartbeats, "silence_seconds": verdict.longest_silence, "receipts": verdict.receipts,
        },
        "witnessed": None if verdict.witnessed is None else verdict.witnessed._asdict(),
        "findings": [
            {"code": int(kind), "kind": NAMES[kind.name], **_heap(heap)}
            for kind, heap in sorted(verdict.findings.by_kind.items())
        ],
        "warnings": [{"kind": name, **_heap(heap)} for name, heap in sorted(verdict.findings.warnings.items())],
        "unchecked": verdict.findings.unchecked,
        "last_received_at": verdict.last_time,
        "seconds": round(seconds, 3),
    }  # fmt: skip


def _heap(heap: Heap) -> Mapping[str, object]:
    return {"count": heap.count, "first_index": heap.first, "examples": heap.examples}


def as_text(verdict: Verdict, *, path: str, seconds: float) -> str:
    """The report, line by line; the last line is the verdict."""
    return "\n".join(_lines(verdict, path, seconds)) + "\n"


def _lines(verdict: Verdict, path: str, seconds: float) -> Iterator[str]:
    yield f"{path}"
    head = verdict.head
    if head is not None:
        yield f"  head               size {head.size:,}, root {base64.b64encode(head.root).decode()}"
    yield f"  entries            {verdict.entries:,}, from {verdict.first:,}; the last was received {verdict.last_time or '-'}"
    if verdict.unsigned:
        yield f"  beyond the head    {verdict.unsigned:,} entries that nobody signed yet"
    yield f"  stored nodes       {verdict.nodes:,}"
    yield f"  older checkpoints  {verdict.checkpoints:,}"
    yield f"  private members    {verdict.opened:,} opened, {verdict.erased:,} erased; {verdict.pruned:,} entries pruned"
    yield f"  heartbeats         {verdict.heartbeats:,}; silence of up to {verdict.longest_silence:.0f} s is accepted"
    yield f"  receipts           {verdict.receipts:,}"
    if verdict.witnessed is not None:
        witnessed = verdict.witnessed
        yield f"  witnessed          size {witnessed.size:,}, by {', '.join(witnessed.by)}; {witnessed.quorum} asked for"
    for name, heap in sorted(verdict.findings.warnings.items()):
        yield from _told(f"note: {WARNINGS[name]}", heap)
    for text in verdict.findings.unchecked:
        yield f"  not checked: {text}"
    for kind, heap in sorted(verdict.findings.by_kind.items()):
        yield from _told(f"FINDING {int(kind)} {NAMES[kind.name]}", heap)
    yield f"{_verdict(verdict)} ({verdict.entries:,} entries in {seconds:.1f} s)"


def _told(what: str, heap: Heap) -> Iterator[str]:
    yield f"  {what}: {heap.count:,}, the first at {heap.first}"
    for text in heap.examples:
        yield f"    {text}"
    if heap.count > len(heap.examples):
        yield f"    and {heap.count - len(heap.examples):,} more"


def _verdict(verdict: Verdict) -> str:
    if verdict.findings.exit_code() == ALL_HOLDS:
        return "All that was checked holds"
    return "The log does NOT hold"
