"""Heads: who signed them, and whether one log can have said all of them.

A consistency proof says that an older tree is the beginning of a newer one. Here all leaves are at hand, so the root at
each older size is computed anew and held against what was signed then, which says the same without a proof.
"""

from collections.abc import Sequence
from typing import NamedTuple

from services.audit.verifier.cosignatures import Cosigned, cosignatures_of
from services.audit.verifier.findings import Finding, Findings, Kind
from services.audit.verifier.notes import NotANote, VerifierKey, claimed, open_checkpoint
from services.audit.verifier.source import Kept
from services.audit.verifier.tree import Tree


class Head(NamedTuple):
    """A root that the log has, or had, at a size. `kind` is what a difference would be."""

    size: int
    root: bytes
    label: str
    kind: Kind
    frontier: bytes | None = None
    """The hashes of its peaks, joined, where somebody keeps them."""
    is_signed: bool = True


class Opened(NamedTuple):
    """What came of one note: its head, what does not hold, whether the log signed it, and which witnesses cosigned it."""

    head: Head | None
    findings: list[Finding]
    is_signed: bool = False
    cosigned: Sequence[Cosigned] = ()


def open_heads(key: VerifierKey, witnesses: Sequence[VerifierKey], kind: Kind, notes: list[Kept]) -> list[Opened]:
    """Open many notes at once, in whichever process."""
    return [open_head(kept, key, witnesses, kind) for kept in notes]


def open_head(kept: Kept, key: VerifierKey, witnesses: Sequence[VerifierKey], kind: Kind) -> Opened:
    """The head in a note. One that nobody signed is no head, unless it is the newest: then it is what there is to go by.

    What a witness cosigned is a head of this log as well, whatever became of the log's own signature: the witness saw one.
    """
    said = claimed(kept.note)
    size = said.size if said else kept.size or 0
    cosigned, flaws = cosignatures_of(kept.note, witnesses) if said and said.origin == key.name else ([], [])
    findings = [Finding(Kind.SIGNATURE, size, f"{kept.label}: {flaw}") for flaw in flaws]
    is_signed = True
    try:
        open_checkpoint(kept.note, key)
    except NotANote as error:
        is_signed = False
        findings.append(Finding(Kind.SIGNATURE, size, f"{kept.label}: {error}"))
        if kind is not Kind.ROOT and not cosigned:
            return Opened(None, findings)
    if said is None:
        return Opened(None, findings)
    beside = (said.size if kept.size is None else kept.size, said.root if kept.root is None else kept.root)
    if beside != (said.size, said.root):
        text = f"{kept.label}: beside it stands another size or root than in the note"
        findings.append(Finding(kind, size, text))
    by = f" (cosigned by {', '.join(one.witness for one in cosigned)})" if cosigned else ""
    return Opened(Head(said.size, said.root, f"{kept.label}{by}", kind), findings, is_signed, cosigned)


class Heads:
    """All heads, asked for by size while the tree grows."""

    def __init__(self) -> None:
        self._by_size: dict[int, list[Head]] = {}
        self.sizes: list[int] = []

    def add(self, head: Head) -> None:
        """Take in a head; one that says the same as another is one with it."""
        others = self._by_size.setdefault(head.size, [])
        if all(head[1:2] + head[3:] != other[1:2] + other[3:] for other in others):
            others.append(head)

    def settle(self, newest: Head | None, findings: Findings) -> None:
        """All are there: two roots of one size, and heads that the newest is behind, are found without any leaf."""
        self.sizes = sorted(self._by_size)
        for size, heads in self._by_size.items():
            signed = [head for head in heads if head.is_signed]
            for head in signed[1:]:
                if head.root != signed[0].root:
                    text = f"two heads of size {size}: {signed[0].label} and {head.label} have different roots"
                    findings.add(Kind.CONSISTENCY, size, text)
            for head in signed if newest is not None and size > newest.size else ():
                text = (
                    f"the head has size {newest.size if newest else 0}, {head.label} had {size}: the log was cut back"
                )
                findings.add(Kind.CONSISTENCY, size, text)

    def at(self, size: int) -> list[Head]:
        """The heads of one size."""
        return self._by_size.get(size, [])

    def judge(self, size: int, trees: Sequence[Tree], findings: Findings) -> None:
        """The tree has reached a size: what was claimed of it holds, or not."""
        heads = self.at(size) if trees else []
        roots = {tree.root() for tree in trees} if heads else set()
        for head in heads:
            if head.root not in roots:
                what = "is not the root of these entries" if head.kind is Kind.ROOT else "had another root at this size"
                findings.add(head.kind, size, f"{head.label} (size {size}) {what}")
            elif head.frontier is not None and head.frontier not in {tree.joined() for tree in trees}:
                findings.add(Kind.LEAF, size, f"{head.label} (size {size}): its frontier is not that of these entries")
