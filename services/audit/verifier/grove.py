"""The tree over the whole log, grown block by block, twice: of the bytes' own hashes and of the leaf hashes as stored.

They differ only where an entry's bytes were changed and its stored hash was not. A root that the stored hashes give
shows that the tree itself is whole, so that one changed entry is found as one changed entry.
"""

from collections.abc import Sequence

from services.audit.verifier.blocks import Checked, Grown, judge_node
from services.audit.verifier.findings import Findings
from services.audit.verifier.source import BLOCK, HASH, NODE_LEVELS, Source
from services.audit.verifier.tree import Peak, Tree

Cut = tuple[Grown, Grown]
NOTHING: Cut = ([], [])
_IN_BLOCK = BLOCK.bit_length() - 1


class Grove:
    """Both trees. A tree that misses a hash is given up: it has no roots any more, and `broken_at` says where."""

    def __init__(self, source: Source) -> None:
        self.size = source.first
        self.broken_at: int | None = None
        self.nodes = 0
        self._source = source
        self._own: Tree | None = Tree.left_of(source.first, source.left)
        self._kept: Tree | None = self._own.copy()

    def grow(self, checked: Checked, findings: Findings) -> None:
        """Add a block, which begins where the last one ended."""
        made_own, self._own = _pushed(self._own, checked.own)
        made_kept, self._kept = _pushed(self._kept, checked.kept)
        if self._own is None and self._kept is None and self.broken_at is None:
            self.broken_at = min(checked.doubtful, default=checked.first)
        self.size = checked.end
        self._judge_nodes(made_own, made_kept, findings)

    def give_up(self, index: int) -> None:
        """An entry is missing between blocks: nothing after it can be hashed into a tree."""
        self._own = self._kept = None
        self.broken_at = index if self.broken_at is None else self.broken_at

    def trees(self, cut: Cut = NOTHING) -> list[Tree]:
        """The trees as they stand, with the peaks of a cut added; without those that miss a hash."""
        pairs = zip((self._own, self._kept), cut, strict=True)
        return [tree.grown(peaks) for tree, peaks in pairs if tree is not None and peaks is not None]

    def _judge_nodes(self, made_own: Sequence[Peak], made_kept: Sequence[Peak], findings: Findings) -> None:
        """Hold stored nodes above the blocks against those that were just completed."""
        candidates: dict[tuple[int, int], list[bytes]] = {}
        for peak in (*made_own, *made_kept):
            needed = (peak.number + 1) << peak.level <= self._source.nodes_until
            if needed and peak.level in NODE_LEVELS and peak.level > _IN_BLOCK:
                candidates.setdefault((peak.level, peak.number), []).append(peak.hash)
        for (height, index), hashes in candidates.items():
            self.nodes += 1
            found = judge_node(height, index, self._source.stored(height, index, 1)[:HASH], hashes)
            if found is not None:
                findings.extend([found])


def _pushed(tree: Tree | None, peaks: Grown) -> tuple[list[Peak], Tree | None]:
    if tree is None or peaks is None:
        return [], None
    return [made for peak in peaks for made in tree.push(peak)], tree
