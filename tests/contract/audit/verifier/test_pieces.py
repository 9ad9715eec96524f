"""Files read in pieces by several processes: wherever a piece ends, each line is read once and whole."""

from pathlib import Path

import pytest

from services.audit.verifier.copytext import copied_pieces, lines_of_piece
from services.audit.verifier.findings import Unreadable
from services.audit.verifier.lines import lines_in, pieces_of
from services.audit.verifier.places import runs_of, starts_of

MIB = 1024 * 1024


def a_dump(folder: Path, length: int) -> tuple[Path, list[bytes]]:
    """A dump with a table of rows of `length` bytes in all, their breaks included, between two others."""
    rows = [b"%06d\t%s" % (number, b"x" * 992) for number in range(length // 1000 - 1)]
    rows.append(b"9\t" + b"y" * (length - 1000 * len(rows) - 3))
    text = b"\n".join(
        [b"COPY audit.one (a, b) FROM stdin;", b"1\t2", b"\\.", b"COPY audit.many (a, b) FROM stdin;", *rows]
    )
    path = folder / f"dump-{length}"
    path.write_bytes(
        text + b"\n\\.\n\nCOPY public.other (a) FROM stdin;\n7\n\\.\nCOPY audit.none (a) FROM stdin;\n\\.\n"
    )
    return path, rows


@pytest.mark.parametrize("beyond", range(-5, 6))
def test_a_table_ends_where_it_ends_and_not_where_a_piece_does(beyond: int, tmp_path: Path) -> None:
    path, rows = a_dump(tmp_path, 2 * MIB + beyond)
    pieces = list(copied_pieces(path))
    assert {piece.table for piece in pieces} == {"one", "many", "none"}
    found: list[bytes] = []
    data = path.read_bytes()
    for piece in pieces:
        offset, lines = lines_of_piece(path, piece)
        for start, line in zip(starts_of(lines, offset), lines, strict=False):
            assert data[start : start + len(line) + 1] == line + b"\n"
        found += lines
    assert found == [b"1\t2", *rows]


@pytest.mark.parametrize("end", [b"", b"\n", b"\n\\", b"\n\\."])
def test_a_dump_that_was_cut_off_within_a_table_is_unreadable(end: bytes, tmp_path: Path) -> None:
    path = tmp_path / "dump"
    path.write_bytes(b"COPY audit.one (a) FROM stdin;\n" + b"1\n" * MIB + b"1" + end)
    with pytest.raises(Unreadable, match="cut off"):
        list(copied_pieces(path))


@pytest.mark.parametrize("longest", [1, 700, 40_000, 3 * MIB])
def test_pieces_have_all_lines_in_their_order(longest: int, tmp_path: Path) -> None:
    lines = [b"first", *(b"%d" % number * (1 + number * longest // 40 // 2) for number in range(40))]
    path = tmp_path / "lines"
    path.write_bytes(b"\n".join(lines) + b"\n")
    pieces = list(pieces_of(path, len(b"first\n"), 1))
    assert [line for piece in pieces for line in lines_in(path, piece)] == lines[1:]
    number = 1
    for piece in pieces:
        assert piece.number == number
        number += piece.lines


def test_a_file_that_ends_within_a_line_is_unreadable(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_bytes(b"whole\nhalf")
    with pytest.raises(Unreadable, match="cut off"):
        list(pieces_of(path))


def test_a_line_beyond_all_bounds_is_unreadable(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_bytes(b"short\n" + b"x" * (6 * MIB) + b"\n")
    with pytest.raises(Unreadable, match="longer than"):
        list(pieces_of(path))


def test_a_file_that_changes_while_it_is_read_is_unreadable(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_bytes(b"one\ntwo\n")
    (piece,) = pieces_of(path)
    path.write_bytes(b"one two\n")
    with pytest.raises(Unreadable, match="changed"):
        lines_in(path, piece)


def test_runs_are_as_few_as_the_steps_between_indexes() -> None:
    runs = runs_of([4, 5, 6, 9, 8, 9], [0, 10, 20, 30, 40, 50])
    assert [(first, list(offsets)) for first, offsets in runs] == [(4, [0, 10, 20]), (9, [30]), (8, [40, 50])]
    assert runs_of([], []) == []
