"""A browser's way to the provider and back, and what an identity needs to have an account."""

import base64
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.access.issuers.models import external_id
from services.gateway.access.permissions import Role
from services.gateway.features.oidc.models import STATE_SECONDS, Attempt, begin, new_account, resume, spent_digest

KEY = b"k" * 32
SECRET = base64.urlsafe_b64encode(b"s" * 32).rstrip(b"=").decode()
OTHER = base64.urlsafe_b64encode(b"o" * 32).rstrip(b"=").decode()
NOW = 1_900_000_000.0
ISSUER = "https://idp.example"


def attempt(*, key: bytes = KEY, secret: str = SECRET, random: bytes = b"r" * 16) -> Attempt:
    return begin(key, secret, now=NOW, random=random)


def test_whoever_set_out_comes_back_to_the_same_attempt() -> None:
    began = attempt()
    assert resume(KEY, SECRET, began.state, now=NOW + STATE_SECONDS) == began


def test_nothing_of_an_attempt_tells_of_another() -> None:
    first, second = attempt(), attempt(random=b"q" * 16)
    parts = {first.state, first.nonce, first.verifier, first.challenge, second.state, second.nonce, second.verifier}
    assert len(parts) == 7
    assert SECRET not in "".join(parts)


def test_the_challenge_is_the_verifier_s_and_long_enough() -> None:
    began = attempt()
    assert 43 <= len(began.verifier) <= 128
    digest = base64.urlsafe_b64encode(sha256(began.verifier.encode()).digest()).rstrip(b"=").decode()
    assert began.challenge == digest


@pytest.mark.parametrize(
    ("secret", "state", "now"),
    [
        (OTHER, attempt().state, NOW),
        (None, attempt().state, NOW),
        ("", attempt().state, NOW),
        (SECRET + "=", attempt().state, NOW),
        (SECRET, None, NOW),
        (SECRET, "", NOW),
        (SECRET, attempt().state + "=", NOW),
        (SECRET, attempt().state[:-1], NOW),
        (SECRET, attempt(key=b"x" * 32).state, NOW),
        (SECRET, attempt(secret=OTHER).state, NOW),
        (SECRET, attempt().state, NOW + STATE_SECONDS + 1),
        (SECRET, attempt().state, NOW - 1),
    ],
)
def test_another_browser_a_late_one_or_a_made_up_state_goes_nowhere(
    secret: str | None, state: str | None, now: float
) -> None:
    assert resume(KEY, secret, state, now=now) is None


@given(st.data())
def test_no_flipped_character_of_a_state_is_accepted(data: st.DataObject) -> None:
    state = attempt().state
    at = data.draw(st.integers(0, len(state) - 1))
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    other = data.draw(st.sampled_from(letters).filter(lambda letter: letter != state[at]))
    assert resume(KEY, SECRET, state[:at] + other + state[at + 1 :], now=NOW) is None


@given(st.text(max_size=100), st.text(max_size=100))
def test_any_texts_go_nowhere_and_nothing_breaks(secret: str, state: str) -> None:
    assert resume(KEY, secret, state, now=NOW) is None


@pytest.mark.parametrize(
    ("claims", "email", "name"),
    [
        ({"email": "Alice@IdP.example", "email_verified": True, "name": "Alice"}, "alice@idp.example", "Alice"),
        ({"email": "alice@idp.example", "email_verified": False, "name": "Alice"}, None, "Alice"),
        ({"email": "alice@idp.example", "email_verified": "true"}, None, "alice"),
        ({"email": "alice@idp.example"}, None, "alice"),
        ({"email": "no address", "email_verified": True, "name": "A\nB"}, None, "alice"),
        ({"email": ["a@b.example"], "email_verified": True, "name": 7}, None, "alice"),
        ({}, None, "alice"),
    ],
)
def test_only_a_verified_address_becomes_the_account_s(claims: dict[str, Any], email: str | None, name: str) -> None:
    made = new_account(ISSUER, "alice", claims, role=Role.VIEWER)
    assert (made.email, made.name) == (email or f"{external_id(ISSUER, 'alice')}@external.invalid", name)


def test_a_subject_that_is_no_name_is_not_made_one() -> None:
    made = new_account(ISSUER, "a\u0000b", {}, role=Role.VIEWER)
    assert made.name == made.email


def test_digests_of_different_things_differ() -> None:
    digests = {spent_digest("state", "a"), spent_digest("logout", "a"), spent_digest("logout", "a", "b")}
    assert len(digests) == 3
    assert {len(digest) for digest in digests} == {32}
