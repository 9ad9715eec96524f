"""Blocks of lines come out of a binary COPY whole, however it is cut on its way."""

import struct

import pytest

from services.audit.store.lines import Blocks

BLOCKS = [b"one\n", b"", "grün\n".encode() * 100, b"", b"last\n"]
"""An empty one is a block in which nothing was found."""


def copied() -> bytes:
    """The bytes that Postgres would send."""
    rows = [struct.pack(">hi", 1, len(block) or -1) + block for block in BLOCKS]
    return b"".join((b"PGCOPY\n\xff\r\n\x00", bytes(8), *rows, b"\xff\xff"))


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 19, 20, 25, 64, 10_000])
def test_a_copy_in_parts_of_any_size_has_the_same_blocks(size: int) -> None:
    data, blocks = copied(), Blocks()
    parts = [data[begin : begin + size] for begin in range(0, len(data), size)]
    assert [block for part in parts for block in blocks.feed(part)] == BLOCKS
