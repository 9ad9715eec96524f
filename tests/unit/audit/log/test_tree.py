"""The tree: the published root, another implementation's roots, and growth in whatever steps."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymerkle import InmemoryTree

from services.audit.log.tree import EMPTY_ROOT, Frontier, Node, grow, leaf_hash, subtrees
from tests.unit.audit.log.trees import EIGHT, Grown, defined_root

ROOT_OF_EIGHT = "XcnaeacGWamtVZy3Ad7ZoqudgjqtL0lgz+Nw7/RgQyg="


def test_eight_leaves_have_the_published_root() -> None:
    assert base64.b64encode(Grown(EIGHT).frontier.root).decode() == ROOT_OF_EIGHT


def test_an_empty_tree_has_the_hash_of_nothing() -> None:
    assert Frontier().root == EMPTY_ROOT == defined_root([])


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 9, 255, 256, 257, 1000])
def test_another_implementation_has_the_same_root(size: int) -> None:
    other = InmemoryTree(algorithm="sha256")
    bodies = [b"entry %d" % number for number in range(size)]
    for body in bodies:
        other.append_entry(body)
    assert Grown(bodies).frontier.root == other.get_state()


@given(st.lists(st.binary(max_size=40), max_size=70), st.integers(1, 20))
def test_a_tree_is_the_defined_one_in_whatever_steps_it_grew(bodies: list[bytes], step: int) -> None:
    assert Grown(bodies, step=step).frontier.root == defined_root(bodies)


@given(st.integers(0, 600))
def test_exactly_the_full_subtrees_of_every_eighth_level_are_kept(size: int) -> None:
    bodies = [b"%d" % number for number in range(size)]
    kept = Grown(bodies, step=97).kept
    assert [(one.level, one.number) for one in kept] == [(8, number) for number in range(size // 256)]
    assert all(one.hash == defined_root(bodies[one.number * 256 : one.number * 256 + 256]) for one in kept)


def test_the_sixteenth_level_is_kept_after_65536_leaves() -> None:
    _, kept = grow(Frontier(), [leaf_hash(b"")] * 65_536)
    assert [(one.level, one.number) for one in kept[-2:]] == [(8, 255), (16, 0)]


@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_a_range_is_parted_into_full_subtrees_that_adjoin(one: int, other: int) -> None:
    start, end = sorted((one, other))
    place = start
    for node in subtrees(start, end):
        assert node.number << node.level == place
        place += 1 << node.level
    assert place == max(start, end)


@given(st.integers(0, 2**62))
def test_a_frontier_comes_back_as_it_was_packed(size: int) -> None:
    hashes = tuple(leaf_hash(b"%d" % number) for number in range(size.bit_count()))
    frontier = Frontier(size, hashes)
    assert Frontier.unpack(size, frontier.pack()) == frontier
    assert [node.level for node in subtrees(0, size)] == [bit for bit in range(62, -1, -1) if size >> bit & 1]


@pytest.mark.parametrize(("size", "packed"), [(1, b""), (2, b"\0" * 64), (0, b"\0" * 32), (1, b"\0" * 31), (-1, b"")])
def test_a_frontier_of_another_size_is_refused(size: int, packed: bytes) -> None:
    with pytest.raises(ValueError, match=r"full subtrees|bytes each"):
        Frontier.unpack(size, packed)


def test_a_node_is_named_by_level_and_number() -> None:
    assert subtrees(0, 7) == [Node(2, 0), Node(1, 2), Node(0, 6)]
