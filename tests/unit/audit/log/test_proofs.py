"""Proofs: all published cases, most of which must be refused, and every proof of our own holds and no other does."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from services.audit.log.proofs import (
    consistency_ranges,
    inclusion_ranges,
    is_consistent,
    is_included,
    nodes_of,
    proof_of,
)
from tests.conftest import VECTORS
from tests.unit.audit.log.trees import Grown

TREE = Grown([b"entry %d" % number for number in range(700)])
ROOTS = [Grown(TREE.bodies[:size]).frontier.root for size in range(701)]
SIZES = st.integers(1, 700)


def cases(kind: str) -> list[Path]:
    return sorted((VECTORS / "merkle" / "testdata" / kind).rglob("*.json"))


def decoded(texts: list[str] | str | None) -> Any:
    if isinstance(texts, list):
        return [base64.b64decode(text) for text in texts]
    return base64.b64decode(texts or "")


@pytest.mark.published_vectors
def test_every_published_inclusion_proof_is_judged_as_its_authors_do() -> None:
    judged = {True: 0, False: 0}
    for path in cases("inclusion"):
        case = json.loads(path.read_text())
        holds = is_included(
            leaf=decoded(case["leafHash"]), index=case["leafIdx"], size=case["treeSize"],
            proof=decoded(case["proof"] or []), root=decoded(case["root"]),
        )  # fmt: skip
        assert holds is not case["wantErr"], (path.parent.name, case["desc"])
        judged[holds] += 1
    assert judged[True] > 5
    assert judged[False] > 80


@pytest.mark.published_vectors
def test_every_published_consistency_proof_is_judged_as_its_authors_do() -> None:
    judged = {True: 0, False: 0}
    for path in cases("consistency"):
        case = json.loads(path.read_text())
        holds = is_consistent(
            old=case["size1"], old_root=decoded(case["root1"]), new=case["size2"], new_root=decoded(case["root2"]),
            proof=decoded(case["proof"] or []),
        )  # fmt: skip
        assert holds is not case["wantErr"], (path.parent.name, case["desc"])
        judged[holds] += 1
    assert judged[True] > 4
    assert judged[False] > 80


def included(index: int, size: int) -> list[bytes]:
    ranges = inclusion_ranges(index, size)
    return proof_of(ranges, TREE.hashes(nodes_of(ranges)))


def consistent(old: int, new: int) -> list[bytes]:
    ranges = consistency_ranges(old, new)
    return proof_of(ranges, TREE.hashes(nodes_of(ranges)))


@given(SIZES, st.data())
def test_every_leaf_of_every_size_is_proven_in_its_place_and_in_no_other(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    proof = included(index, size)
    leaf, root = TREE.leaves[index], ROOTS[size]
    assert is_included(leaf=leaf, index=index, size=size, proof=proof, root=root)
    other = data.draw(st.integers(0, 700))
    assert is_included(leaf=leaf, index=other, size=size, proof=proof, root=root) is (other == index)
    assert not is_included(leaf=TREE.leaves[(index + 1) % 700], index=index, size=size, proof=proof, root=root)
    assert not is_included(leaf=leaf, index=index, size=size, proof=[*proof, leaf], root=root)
    assert not is_included(leaf=leaf, index=index, size=size, proof=proof, root=ROOTS[size - 1])


@given(SIZES, SIZES)
def test_every_older_size_is_proven_to_begin_every_newer_one(one: int, other: int) -> None:
    old, new = sorted((one, other))
    proof = consistent(old, new)
    assert is_consistent(old=old, old_root=ROOTS[old], new=new, new_root=ROOTS[new], proof=proof)
    assert not is_consistent(old=old, old_root=ROOTS[old - 1], new=new, new_root=ROOTS[new], proof=proof)
    assert not is_consistent(old=old, old_root=ROOTS[old], new=new, new_root=ROOTS[new - 1], proof=proof)
    assert not is_consistent(old=old, old_root=ROOTS[old], new=new, new_root=ROOTS[new], proof=[*proof, ROOTS[1]])


@given(SIZES, SIZES, st.data())
def test_a_proof_with_one_bit_changed_is_refused(one: int, other: int, data: st.DataObject) -> None:
    old, new = sorted((one, other))
    proof = consistent(old, new)
    assume(proof)
    place, bit = data.draw(st.integers(0, len(proof) - 1)), data.draw(st.integers(0, 255))
    proof[place] = (int.from_bytes(proof[place], "big") ^ 1 << bit).to_bytes(32, "big")
    assert not is_consistent(old=old, old_root=ROOTS[old], new=new, new_root=ROOTS[new], proof=proof)


@pytest.mark.parametrize(("old", "new"), [(0, 5), (0, 0), (5, 5)])
def test_where_nothing_can_be_shown_the_proof_is_empty(old: int, new: int) -> None:
    assert consistency_ranges(old, new) == []


@pytest.mark.parametrize(("old", "new"), [(6, 5), (-1, 5)])
def test_a_tree_that_shrank_has_no_consistency_proof(old: int, new: int) -> None:
    with pytest.raises(ValueError, match="not grown"):
        consistency_ranges(old, new)


@pytest.mark.parametrize(("index", "size"), [(5, 5), (-1, 5), (0, 0)])
def test_a_leaf_that_is_not_there_has_no_inclusion_proof(index: int, size: int) -> None:
    with pytest.raises(ValueError, match="has no leaf"):
        inclusion_ranges(index, size)
    assert not is_included(leaf=b"", index=index, size=size, proof=[], root=b"")


def test_a_proof_of_a_million_leaves_is_twenty_hashes() -> None:
    assert len(inclusion_ranges(123_456, 1_000_000)) == 20
