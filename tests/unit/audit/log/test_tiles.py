"""Tiles: their names, the published arithmetic, and hashes made again from them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.audit.log.evidence import proof_text
from services.audit.log.tiles import TILE_WIDTH, Tile, entry_bundle, tiles_of
from services.audit.log.tree import Node
from tests.unit.audit.log.trees import Grown, defined_root


@pytest.mark.parametrize(
    ("tile", "path"),
    [
        (Tile(0, 0), "0/000"),
        (Tile(1, 7), "1/007"),
        (Tile(0, 1_234_067), "0/x001/x234/067"),
        (Tile(2, 1_000), "2/x001/000"),
        (Tile(0, 273, 112), "0/273.p/112"),
        (Tile(None, 1_234_067, 255), "entries/x001/x234/067.p/255"),
    ],
)
def test_a_tile_has_the_name_that_the_specification_gives_it(tile: Tile, path: str) -> None:
    assert tile.path == path
    assert Tile.parse(path) == tile


@given(st.one_of(st.none(), st.integers(0, 7)), st.integers(0, 2**54 - 1), st.integers(1, 256))
def test_every_tile_is_found_by_its_name(level: int | None, number: int, width: int) -> None:
    assert Tile.parse(Tile(level, number, width).path) == Tile(level, number, width)


@pytest.mark.parametrize(
    "path",
    [
        "", "0", "0/", "0/0", "0/00", "0/0000", "00/000", "-1/000", "8/000", "64/000", "data/000", "0/x000/000", "0/001/234",
        "0/x001", "0/x001/x234", "0/000.p/0", "0/000.p/256", "0/000.p/00", "0/000.p/1/2", "0/000.p", "0/000/", "/0/000",
        "0/" + "\u0660" * 3, "0/000.p/1000", "0/" + "x001/" * 20 + "000", "entries/0/000", "../0/000",
    ],
)  # fmt: skip
def test_a_path_that_names_no_tile_is_refused(path: str) -> None:
    assert Tile.parse(path) is None


def test_the_tiles_of_70000_leaves_are_those_of_the_specification() -> None:
    assert tiles_of(70_000) == [Tile(0, 273, 112), Tile(1, 1, 17), Tile(2, 0, 1)]
    assert tiles_of(0) == []
    assert tiles_of(256) == [Tile(0, 0, 256), Tile(1, 0, 1)]


@given(st.integers(1, 600), st.data())
def test_every_full_subtree_is_made_again_from_one_tile(size: int, data: st.DataObject) -> None:
    bodies = [b"%d" % number for number in range(size)]
    level = data.draw(st.integers(0, size.bit_length() - 1))
    index = data.draw(st.integers(0, (size >> level) - 1))
    node = Node(level, index)
    assert Grown(bodies).hashes([node])[node] == defined_root(bodies[index << level : (index + 1) << level])


def test_a_tile_that_lacks_a_hash_is_refused() -> None:
    tree = Grown([b"a", b"b", b"c"])
    with pytest.raises(ValueError, match="lacks hashes"):
        tree.hashes([Node(2, 0)])


def test_a_bundle_has_each_leaf_after_its_length() -> None:
    assert entry_bundle([b"a", b"", b"b" * 258]) == b"\x00\x01a\x00\x00\x01\x02" + b"b" * 258
    assert TILE_WIDTH == 256


def test_evidence_is_written_as_the_specification_shows_it() -> None:
    text = proof_text(index=5, proof=[b"\x00" * 32, b"\xff" * 32], checkpoint="log\n9\nroot\n\n— log sig\n")
    assert text == (
        "c2sp.org/tlog-proof@v1\nindex 5\n"
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n//////////////////////////////////////////8=\n"
        "\nlog\n9\nroot\n\n— log sig\n"
    )
    assert proof_text(index=0, proof=[], checkpoint="c\n") == "c2sp.org/tlog-proof@v1\nindex 0\n\nc\n"
