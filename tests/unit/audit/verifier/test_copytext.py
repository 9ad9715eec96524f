"""COPY's text format, as `pg_dump` writes rows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.audit.verifier.copytext import text_of, texts_of


def written(text: str | None) -> bytes:
    """A field as Postgres writes it."""
    if text is None:
        return b"\\N"
    for char, letter in (("\\", "\\"), ("\b", "b"), ("\f", "f"), ("\n", "n"), ("\r", "r"), ("\t", "t"), ("\v", "v")):
        text = text.replace(char, f"\\{letter}")
    return text.encode()


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")) | st.sampled_from(
    ("N", "\\N", "\\", "")
)


@given(st.lists(st.none() | TEXTS, min_size=1, max_size=6))
def test_a_row_says_what_was_written(fields: list[str | None]) -> None:
    assert texts_of(b"\t".join(written(one) for one in fields), len(fields), list) == fields


@pytest.mark.parametrize(
    ("field", "text"), [(rb"\x41\x4", "A\x04"), (rb"\101", "A"), (rb"\303\274", "ü"), (rb"\q", "q"), (rb"a\\N", "a\\N")]
)
def test_other_escapes_are_read_as_postgres_reads_them(field: bytes, text: str) -> None:
    assert text_of(field) == text
    assert texts_of(b"x\t" + field, 2, list) == ["x", text]


@pytest.mark.parametrize("field", [b"\xff", rb"\377"])
def test_what_is_no_text_is_refused(field: bytes) -> None:
    with pytest.raises(UnicodeDecodeError):
        texts_of(b"x\t" + field, 2, list)
