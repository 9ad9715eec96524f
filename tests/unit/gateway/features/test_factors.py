"""One-time codes and recovery codes."""

import re
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.features.factors.models import (
    digits_of,
    enrolment_uri,
    matching_step,
    new_recovery_codes,
    new_secret,
    recovery_hash,
    secret_text,
)

RFC_SECRET = b"12345678901234567890"
USER = "0199a0c0-0000-7000-8000-000000000001"


@pytest.mark.parametrize(
    ("now", "code"),
    [
        (59, "287082"),
        (1111111109, "081804"),
        (1111111111, "050471"),
        (1234567890, "005924"),
        (2000000000, "279037"),
        (20000000000, "353130"),
    ],
)
def test_the_values_of_rfc_6238_hold(now: int, code: str) -> None:
    """Appendix B, SHA-1; its codes have eight digits, ours are the last six."""
    assert matching_step(RFC_SECRET, code, now=now, last_step=None) == now // 30


@pytest.mark.parametrize(("offset", "holds"), [(-61, False), (-30, True), (0, True), (30, True), (61, False)])
def test_a_code_holds_one_step_before_and_after_its_own(offset: int, holds: bool) -> None:
    found = matching_step(RFC_SECRET, "081804", now=1111111109 + offset, last_step=None)
    assert (found is not None) == holds


def test_a_step_that_was_used_never_holds_again() -> None:
    step = 1111111109 // 30
    assert matching_step(RFC_SECRET, "081804", now=1111111109, last_step=step - 1) == step
    for used in (step, step + 1):
        assert matching_step(RFC_SECRET, "081804", now=1111111109, last_step=used) is None


@given(code=st.text(max_size=12), now=st.floats(0, 4e9))
def test_no_text_makes_the_check_fail(code: str, now: float) -> None:
    found = matching_step(RFC_SECRET, digits_of(code), now=now, last_step=None)
    assert found is None or abs(found - int(now) // 30) <= 1


@pytest.mark.parametrize("code", ["", "08180", "0818044", "٠٨١٨٠٤", "08180a", "+81804"])
def test_only_six_plain_digits_are_a_code(code: str) -> None:
    assert matching_step(RFC_SECRET, code, now=1111111109, last_step=None) is None


def test_the_enrolment_says_all_that_an_application_needs() -> None:
    secret = new_secret()
    uri = urlsplit(enrolment_uri(secret, account="a@example.com", issuer="Reeve"))
    assert (uri.scheme, uri.netloc, uri.path) == ("otpauth", "totp", "/Reeve:a%40example.com")
    query = parse_qs(uri.query)
    assert (query["secret"], query["issuer"]) == ([secret_text(secret)], ["Reeve"])
    assert len(secret) == 20


def test_recovery_codes_are_ten_different_ones_and_easy_to_type() -> None:
    codes = new_recovery_codes()
    assert len({recovery_hash(USER, code) for code in codes}) == 10
    assert all(re.fullmatch(r"[A-Z2-7]{4}(-[A-Z2-7]{4}){3}", code) for code in codes)


def test_a_recovery_code_is_the_same_however_it_is_typed_and_only_its_owners() -> None:
    code = new_recovery_codes()[0]
    kept = recovery_hash(USER, code)
    assert kept == recovery_hash(USER, code.lower().replace("-", " "))
    assert kept != recovery_hash(USER[:-1] + "2", code)
    assert code.replace("-", "").encode() not in (kept or b"")


@given(code=st.text(max_size=40))
def test_what_is_no_recovery_code_has_no_hash(code: str) -> None:
    hashed = recovery_hash(USER, code)
    assert hashed is None or len(hashed) == 32
