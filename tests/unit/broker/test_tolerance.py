"""Reading header tables: the quick way reads what the library reads, and leaves the rest to it."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from pamqp import decode, encode

from libs.common.broker.tolerance import UNDECODABLE, _texts, table

NAMES = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=40)


@given(st.dictionaries(NAMES, st.text(max_size=200), max_size=12))
def test_a_table_of_texts_is_read_as_the_library_reads_it(found: dict[str, str]) -> None:
    written = encode.field_table(dict(found.items())) + b"what follows"
    assert _texts(written) == decode.field_table(written) == (len(written) - 12, found)


@given(
    st.dictionaries(NAMES, st.text(max_size=9) | st.integers(-(2**31), 2**31) | st.booleans() | st.none(), max_size=6)
)
def test_any_table_is_read_as_the_library_reads_it(found: dict[str, Any]) -> None:
    written = encode.field_table(dict(found.items()))
    assert table(written) == decode.field_table(written)


@given(st.binary(min_size=4, max_size=120))
def test_bytes_that_are_no_table_break_nothing(value: bytes) -> None:
    used, found = table(value)
    assert used >= 4
    assert isinstance(found, dict)


def test_a_text_that_is_no_utf8_leaves_the_message_readable() -> None:
    written = encode.field_table({"name": "abc"}).replace(b"abc", b"\xff\xfe\xff")
    assert table(written)[1] in ({UNDECODABLE: True}, decode.field_table(written)[1])
