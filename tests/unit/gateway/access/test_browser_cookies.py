"""The value of a session's cookie, and how cookies are read from a request."""

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.identity import Actor, ActorType, Level
from services.gateway.access.browser_cookies import CLEARED, SESSION_COOKIE, SessionCookies, values_of

SESSION = "01890a5d-ac96-774b-bcce-b302099a8057"
PROVED = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
COOKIES = SessionCookies(b"s" * 32)


def line() -> str:
    return COOKIES.write(session_id=SESSION, proved_at=PROVED, role="admin")


def value() -> str:
    return line().partition("=")[2].partition(";")[0]


def owner(*, role: str = "admin", proved_at: datetime | None = PROVED) -> Actor:
    return Actor("u", ActorType.ADMIN, "u", role, Level.ADMIN, frozenset(), session_id=SESSION, proved_at=proved_at)


def scope(*lines: str) -> dict[str, Any]:
    return {"headers": [(b"cookie", one.encode("latin-1")) for one in lines]}


def test_the_attributes_are_exactly_these() -> None:
    assert line() == f"__Host-reeve-session={value()}; Path=/; Secure; HttpOnly; SameSite=Strict"
    assert CLEARED == "__Host-reeve-session=; Max-Age=0; Path=/; Secure; HttpOnly; SameSite=Strict"


def test_a_value_says_which_session_and_which_proof_it_is_of() -> None:
    ticket = COOKIES.read(value())
    assert ticket is not None
    assert (ticket.session_id, ticket.proved_at) == (SESSION, PROVED)
    assert ticket.is_of(owner())


def test_it_holds_for_one_role_and_one_proof_only() -> None:
    ticket = COOKIES.read(value())
    assert ticket is not None
    assert not ticket.is_of(owner(role="super_admin"))
    assert not ticket.is_of(owner(proved_at=PROVED + timedelta(microseconds=1)))
    assert not ticket.is_of(owner(proved_at=None))


@given(place=st.integers(0, 71), change=st.integers(1, 255))
def test_no_changed_byte_is_believed(place: int, change: int) -> None:
    raw = bytearray(base64.urlsafe_b64decode(value()))
    raw[place] ^= change
    assert COOKIES.read(base64.urlsafe_b64encode(bytes(raw)).decode()) is None


@pytest.mark.parametrize("text", ["", SESSION, "a" * 96, "a" * 97, "é" * 96, "\n" * 96, "." * 96])
def test_nothing_else_is_believed(text: str) -> None:
    assert COOKIES.read(text) is None
    assert COOKIES.read(value() + text[:1] + "=") is None


def test_another_platform_s_value_is_not_ours() -> None:
    assert SessionCookies(b"t" * 32).read(value()) is None


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ((), []),
        (("a=b",), []),
        ((f"{SESSION_COOKIE}=x",), ["x"]),
        ((f"a=b; {SESSION_COOKIE}=x;c=d",), ["x"]),
        ((f"{SESSION_COOKIE}=x; {SESSION_COOKIE}=y",), ["x", "y"]),
        ((f"{SESSION_COOKIE}=x", f"{SESSION_COOKIE}=x"), ["x", "x"]),
        ((f"{SESSION_COOKIE}=x=y",), ["x=y"]),
        ((f"{SESSION_COOKIE.lower()}=x",), []),
        ((f"reeve-session=x; {SESSION_COOKIE}2=y; x{SESSION_COOKIE}=z",), []),
        ((SESSION_COOKIE,), [""]),
        ((";;; =x; ",), []),
    ],
)
def test_cookies_are_read_by_their_exact_name_and_every_one_of_them(
    lines: tuple[str, ...], expected: list[str]
) -> None:
    assert values_of(scope(*lines), SESSION_COOKIE) == expected
