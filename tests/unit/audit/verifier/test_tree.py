"""Roots as RFC 6962 defines them: the known tree of eight leaves, the published vectors, and the definition itself."""

import base64
import hashlib
import json
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.audit.verifier.tree import EMPTY_ROOT, Tree, leaf_hash, levels_over, node_hash, peaks_over, subtrees
from tests.conftest import VECTORS
from tests.support.audit_log import frontier_of, root_of

LEAVES = [
    bytes.fromhex(text)
    for text in (
        "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f",
    )
]  # fmt: skip
HASHES = [leaf_hash(leaf) for leaf in LEAVES]
SOME_HASHES = [hashlib.sha256(bytes([n & 255, n >> 8])).digest() for n in range(700)]


def root_over(hashes: Sequence[bytes], first: int, end: int) -> bytes:
    return Tree(peaks_over(levels_over(0, list(hashes)), first, end)).root()


def test_the_tree_of_eight_leaves_has_its_known_root() -> None:
    assert base64.b64encode(root_over(HASHES, 0, 8)).decode() == "XcnaeacGWamtVZy3Ad7ZoqudgjqtL0lgz+Nw7/RgQyg="


def test_a_tree_without_leaves_is_the_hash_of_nothing() -> None:
    assert Tree().root() == EMPTY_ROOT == hashlib.sha256(b"").digest()


def test_leaves_and_nodes_cannot_be_taken_for_each_other() -> None:
    left, right = HASHES[:2]
    assert node_hash(left, right) != leaf_hash(left + right)


@given(st.integers(0, 700))
def test_a_root_is_that_of_the_definition(size: int) -> None:
    assert root_over(SOME_HASHES, 0, size) == root_of(SOME_HASHES[:size])


@given(st.integers(0, 700), st.lists(st.integers(1, 90), max_size=12))
def test_however_a_tree_is_cut_into_blocks_it_is_the_same(first: int, widths: list[int]) -> None:
    joined = frontier_of(SOME_HASHES[:first])
    tree, at = Tree.left_of(first, [joined[n : n + 32] for n in range(0, len(joined), 32)]), first
    for width in widths:
        block = SOME_HASHES[at : at + width]
        for peak in peaks_over(levels_over(at, block), at, at + len(block)) if block else ():
            tree.push(peak)
        at += len(block)
        assert tree.root() == root_of(SOME_HASHES[:at])
        assert tree.joined() == frontier_of(SOME_HASHES[:at])


@given(st.integers(0, 5000), st.integers(0, 5000))
def test_subtrees_cover_a_range_once_and_are_aligned(one: int, other: int) -> None:
    first, end = sorted((one, other))
    covered = [place for level, index in subtrees(first, end) for place in range(index << level, (index + 1) << level)]
    assert covered == list(range(first, end))


def test_a_wrong_number_of_hashes_on_the_left_is_refused() -> None:
    with pytest.raises(ValueError, match="left of 5 are 2 full subtrees, not 1"):
        Tree.left_of(5, HASHES[:1])


def audit_path(index: int, first: int, end: int) -> list[bytes]:
    """PATH of RFC 6962, 2.1.1, over roots that the verifier's tree gives."""
    if end - first == 1:
        return []
    split = first + (1 << (end - first - 1).bit_length() - 1)
    if index < split:
        return [*audit_path(index, first, split), root_over(HASHES, split, end)]
    return [*audit_path(index, split, end), root_over(HASHES, first, split)]


def consistency_path(size: int, first: int, end: int, *, whole: bool = True) -> list[bytes]:
    """SUBPROOF of RFC 6962, 2.1.2, likewise."""
    if size == end - first:
        return [] if whole else [root_over(HASHES, first, end)]
    split = 1 << (end - first - 1).bit_length() - 1
    if size <= split:
        return [*consistency_path(size, first, first + split, whole=whole), root_over(HASHES, first + split, end)]
    return [
        *consistency_path(size - split, first + split, end, whole=False),
        root_over(HASHES, first, first + split),
    ]


@pytest.mark.published_vectors
def test_the_published_proofs_are_made_of_this_tree_s_hashes() -> None:
    included = consistent = 0
    for path in sorted((VECTORS / "merkle" / "testdata").glob("*clusion/*/happy-path.json")):
        case = json.loads(path.read_text())
        if path.parts[-3] == "inclusion" and case["treeSize"] <= 8:
            included += 1
            assert base64.b64decode(case["leafHash"]) == HASHES[case["leafIdx"]]
            assert base64.b64decode(case["root"]) == root_over(HASHES, 0, case["treeSize"])
            proof = [base64.b64decode(one) for one in case["proof"] or []]
            assert proof == audit_path(case["leafIdx"], 0, case["treeSize"])
    for path in sorted((VECTORS / "merkle" / "testdata" / "consistency").glob("*/happy-path.json")):
        case = json.loads(path.read_text())
        consistent += 1
        assert base64.b64decode(case["root1"]) == root_over(HASHES, 0, case["size1"])
        assert base64.b64decode(case["root2"]) == root_over(HASHES, 0, case["size2"])
        proof = [base64.b64decode(one) for one in case["proof"] or []]
        assert proof == consistency_path(case["size1"], 0, case["size2"])
    assert (included, consistent) == (5, 5)
