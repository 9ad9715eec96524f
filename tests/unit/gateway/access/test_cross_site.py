"""Which requests a page of our own can have made."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.access.cross_site import (
    Breach,
    Kind,
    Signs,
    breach_of,
    kind_of,
    page_origin,
    page_origins,
    read_signs,
)

OURS = "https://reeve.example"
ALLOWED = frozenset([OURS])
JSON = ("application/json",)
MARKED = ("cookie",)
FOREIGN = [
    "null", "", "https://evil.example", "https://app.reeve.example", "https://reeve.example.evil.example",
    "http://reeve.example", "https://reeve.example:8443", "https://reeve.example/", "HTTPS://REEVE.EXAMPLE",
    "https://reeve.example, https://evil.example", "https://reeve.example@evil.example", "https://xreeve.example",
]  # fmt: skip


def signs(**changes: Any) -> Signs:
    return Signs(**{"origins": (OURS,), "sites": ("same-origin",), "marks": MARKED, **changes})


def test_a_write_of_our_own_page_breaks_no_rule() -> None:
    assert breach_of(signs(), "write", allowed=ALLOWED) is None
    assert breach_of(signs(content_types=JSON, has_body=True), "write", allowed=ALLOWED) is None


@pytest.mark.parametrize("origin", FOREIGN)
@pytest.mark.parametrize("kind", ["read", "write", "websocket"])
def test_a_foreign_origin_is_refused_whatever_else_fits(kind: Kind, origin: str) -> None:
    assert breach_of(signs(origins=(origin,)), kind, allowed=ALLOWED) is Breach.ORIGIN
    assert breach_of(signs(origins=(OURS, origin)), kind, allowed=ALLOWED) is Breach.ORIGIN


@pytest.mark.parametrize("kind", ["read", "write", "websocket"])
def test_two_origins_are_one_too_many(kind: Kind) -> None:
    assert breach_of(signs(origins=(OURS, OURS)), kind, allowed=ALLOWED) is Breach.ORIGIN


@pytest.mark.parametrize("site", ["cross-site", "same-site", "", "Same-Origin", "same-origin, cross-site"])
@pytest.mark.parametrize("kind", ["read", "write", "websocket"])
def test_another_site_is_refused_though_the_origin_fits(kind: Kind, site: str) -> None:
    assert breach_of(signs(sites=(site,)), kind, allowed=ALLOWED) is Breach.SITE
    assert breach_of(signs(origins=(), sites=("same-origin", site)), kind, allowed=ALLOWED) is Breach.SITE


def test_what_somebody_typed_into_the_browser_only_reads() -> None:
    assert breach_of(signs(origins=(), sites=("none",)), "read", allowed=ALLOWED) is None
    assert breach_of(signs(origins=(), sites=("none",)), "write", allowed=ALLOWED) is Breach.SITE


@pytest.mark.parametrize(
    ("changes", "kind", "expected"),
    [
        ({"origins": (), "sites": ()}, "read", None),
        ({"origins": (), "sites": ()}, "write", Breach.ORIGIN),
        ({"origins": (), "sites": ()}, "websocket", Breach.ORIGIN),
        ({"origins": ()}, "write", None),
        ({"sites": ()}, "write", None),
        ({"origins": ()}, "websocket", Breach.ORIGIN),
        ({"marks": ()}, "websocket", None),
        ({"marks": ()}, "read", None),
        ({"marks": ()}, "write", Breach.MARK),
        ({"marks": ("Cookie",)}, "write", Breach.MARK),
        ({"marks": ("cookie", "cookie")}, "write", Breach.MARK),
        ({"has_body": True}, "write", Breach.CONTENT_TYPE),
        ({"has_body": True, "content_types": ("text/plain",)}, "write", Breach.CONTENT_TYPE),
        ({"has_body": True, "content_types": ("text/plain; application/json",)}, "write", Breach.CONTENT_TYPE),
        ({"has_body": True, "content_types": ("multipart/form-data; boundary=x",)}, "write", Breach.CONTENT_TYPE),
        ({"has_body": True, "content_types": ("application/x-www-form-urlencoded",)}, "write", Breach.CONTENT_TYPE),
        ({"has_body": True, "content_types": JSON * 2}, "write", Breach.CONTENT_TYPE),
        ({"has_body": True, "content_types": ("application/json; charset=utf-8",)}, "write", None),
        ({"has_body": True, "content_types": ("application/merge-patch+json",)}, "write", None),
    ],
)
def test_each_rule_by_itself(changes: dict[str, Any], kind: Kind, expected: Breach | None) -> None:
    assert breach_of(signs(**changes), kind, allowed=ALLOWED) is expected


texts = st.one_of(
    st.sampled_from([OURS, "same-origin", "none", "cookie", "application/json", *FOREIGN]), st.text(max_size=8)
)
several = st.lists(texts, max_size=2).map(tuple)


found_signs = st.builds(
    Signs, origins=several, sites=several, marks=several, content_types=several, has_body=st.booleans()
)


@given(found=found_signs, allowed=st.sampled_from([ALLOWED, frozenset()]))
def test_a_write_passes_only_with_the_mark_and_a_sign_of_our_own_page_and_no_sign_of_another(
    found: Signs, allowed: frozenset[str]
) -> None:
    if breach_of(found, "write", allowed=allowed) is not None:
        return
    assert found.marks == ("cookie",)
    assert found.origins in ((), (OURS,))
    assert found.sites in ((), ("same-origin",))
    assert found.origins or found.sites
    assert not found.origins or allowed
    assert not found.has_body or found.content_types == ("application/json",)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "FOO", "get"])
def test_what_is_no_safe_method_may_change_something(method: str) -> None:
    assert kind_of({"type": "http", "method": method}) == "write"


def test_the_safe_methods_and_the_websocket() -> None:
    assert {kind_of({"type": "http", "method": one}) for one in ("GET", "HEAD", "OPTIONS")} == {"read"}
    assert kind_of({"type": "websocket"}) == "websocket"


@pytest.mark.parametrize(
    ("headers", "has_body"),
    [
        ([], False),
        ([(b"content-length", b"0")], False),
        ([(b"content-length", b"2")], True),
        ([(b"content-length", b"0"), (b"content-length", b"7")], True),
        ([(b"transfer-encoding", b"chunked")], True),
    ],
)
def test_a_body_is_seen_by_its_head(headers: list[tuple[bytes, bytes]], has_body: bool) -> None:
    assert read_signs({"headers": headers}).has_body is has_body


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://reeve.example", "https://reeve.example"),
        ("https://Reeve.Example:443/base/", "https://reeve.example"),
        ("https://reeve.example:8443", "https://reeve.example:8443"),
        ("http://localhost:8080", "http://localhost:8080"),
        ("http://127.0.0.1:80", "http://127.0.0.1"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("http://reeve.example", None),
        ("https://*.reeve.example", None),
        ("https://bücher.example", None),
        ("https://", None),
        ("http://0.0.0.0:8080", None),
        ("http://localhost.evil.example", None),
        ("ftp://reeve.example", None),
        ("null", None),
    ],
)
def test_a_page_s_origin_is_as_browsers_write_it_and_none_without_tls(url: str, origin: str | None) -> None:
    assert page_origin(url) == origin
    assert page_origins([url]) == (frozenset([origin]) if origin else frozenset())
