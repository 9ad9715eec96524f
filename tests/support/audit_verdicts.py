"""Runs the offline verifier in this process, on one processor: what it found, as plain values."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from services.audit.verifier.cli import open_source
from services.audit.verifier.findings import Kind, Unreadable
from services.audit.verifier.notes import parse_key
from services.audit.verifier.pool import Pool
from services.audit.verifier.progress import Progress
from services.audit.verifier.receipts import open_receipt
from services.audit.verifier.source import Kept
from services.audit.verifier.verify import Verdict, Verification
from services.audit.verifier.witnesses import NOBODY, Policy


def verdict_on(
    path: Path,
    vkey: str,
    *,
    older: Sequence[str] = (),
    receipts: Sequence[str] = (),
    receipt_key: str = "",
    witnesses: Policy = NOBODY,
) -> Verdict:
    """The verdict on a file or directory, with these notes and receipts kept from earlier. Raises Unreadable."""
    kept = [Kept(f"kept {number}", note) for number, note in enumerate(older)]
    with TemporaryDirectory() as scratch, Pool(1) as pool:
        source = open_source(path, parse_key(vkey), Path(scratch), pool)
        opened = [open_receipt(note, parse_key(receipt_key), f"receipt {n}") for n, note in enumerate(receipts)]
        verification = Verification(source, receipts=opened, witnesses=witnesses)
        return verification.run(kept, pool, Progress(source.total(), shown=False))


def is_noticed(path: Path, vkey: str) -> bool:
    """Whether there is any finding, or the input is refused as unreadable, in one line."""
    try:
        return bool(verdict_on(path, vkey).findings.by_kind)
    except Unreadable as error:
        return len(str(error).splitlines()) == 1


def first_of_each(verdict: Verdict) -> dict[int, int | None]:
    """The first bad index of each kind."""
    return {int(kind): heap.first for kind, heap in sorted(verdict.findings.by_kind.items())}


def kinds_of(verdict: Verdict) -> set[Kind]:
    """The kinds that were found."""
    return set(verdict.findings.by_kind)
