"""Texts and links of notifications: what is plain, what is refused, what is made harmless."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from libs.common.events.notification_fields import is_relative_path, plain_line, plain_text
from libs.common.events.notifications import CreateNotification, RaiseAlert


@pytest.mark.parametrize(
    "link",
    ["/", "/imports", "/imports/4711", "/a/", "/a?tab=log&x=//y", "/a#part", "/a%20b", "/stores/R%C3%B6se", "/a/b@c:d"],
)
def test_a_link_within_the_site_is_taken(link: str) -> None:
    assert is_relative_path(link)


@pytest.mark.parametrize(
    "link",
    [
        "", "imports", "javascript:alert(1)", "JaVaScRiPt:alert(1)", "data:text/html,x", "https://evil.example", "//evil.example",
        "/\\evil.example", "\\\\evil.example", "/a//b", "/..//evil.example", "/../x", "/%2e%2e/x", "/a/./b", " /a", "/a b", "/a\r\nb",
        "/a\n", "/\tevil", "/a<b>", '/a"b', "/\u00e9", "/%zz", "/a%", "\u2044\u2044evil", "?x=1", "#x", "./a",
    ],
)  # fmt: skip
def test_a_link_that_may_lead_elsewhere_is_refused(link: str) -> None:
    assert not is_relative_path(link)
    with pytest.raises(ValidationError):
        CreateNotification(type="x", title="x", action_url=link)


@given(st.text())
def test_any_text_becomes_one_plain_line(text: str) -> None:
    line = plain_line(text, 50)
    assert len(line) <= 50
    assert not set(line) & set("\r\n\t\x00\u202e\u2028")
    assert "<script" not in line.lower()


@given(st.text())
def test_any_text_becomes_plain_lines(text: str) -> None:
    plain = plain_text(text, 50)
    assert len(plain) <= 50
    assert not set(plain) & set("\r\x00\x1b\u202e\u2028\u200b")
    assert plain.encode("utf-8").decode("utf-8") == plain


def test_a_comparison_is_not_taken_for_a_tag() -> None:
    assert plain_line("stock < 5 and 3<4") == "stock < 5 and 3<4"


@pytest.mark.parametrize(
    "title", ["a\r\nBcc: x", "a\nb", "a\x00", "a\x1b[31m", "\u202eabc", "a\u2028b", "a\ud800", "", "   ", "x" * 201]
)
def test_a_title_that_is_no_plain_line_is_refused(title: str) -> None:
    with pytest.raises(ValidationError):
        CreateNotification(type="x", title=title)


def test_markup_in_what_an_administrator_writes_is_made_harmless() -> None:
    asked = CreateNotification(type="x", title="<script>alert(1)</script>", message="one\r\n<b>two</b>")
    assert asked.title == "\u2039script>alert(1)\u2039/script>"
    assert asked.message == "one\n\u2039b>two\u2039/b>"


@pytest.mark.parametrize(
    "wrong",
    [
        {"notification_metadata": {"a": "x" * 17_000}},
        {"notification_metadata": {"a": "\x00"}},
        {"notification_metadata": {"a": {"b": {"c": {"d": {"e": {"f": {"g": {"h": {"i": {"j": {}}}}}}}}}}}},
        {"notification_metadata": [1]},
        {"type": "Upper"},
        {"type": "x" * 65},
        {"priority": "urgent"},
        {"message": "x" * 2001},
        {"is_read": True},
    ],
)
def test_a_notification_out_of_bounds_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        CreateNotification.model_validate({"type": "x", "title": "x", **wrong})


@pytest.mark.parametrize(
    "wrong",
    [
        {"fingerprint": ""},
        {"fingerprint": "a b"},
        {"fingerprint": "x" * 129},
        {"fingerprint": "a\n"},
        {"severity": "fatal"},
        {"alert_type": "Not-A-Type"},
        {"labels": {"1a": "x"}},
        {"labels": {"a": "x\ny"}},
        {"labels": {f"l{number}": "x" for number in range(65)}},
        {"affected_stores": list(range(101))},
        {"affected_stores": [True]},
        {"affected_stores": [1.5]},
        {"affected_stores": [2**63]},
        {"affected_systems": ["a\r\nb"]},
    ],
)
def test_an_alert_out_of_bounds_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        RaiseAlert.model_validate({"alert_type": "system", "title": "x", **wrong})


def test_stores_keep_the_kind_they_were_given_in() -> None:
    assert RaiseAlert(alert_type="system", title="x", affected_stores=[1, "1", "b"]).affected_stores == [1, "1", "b"]
