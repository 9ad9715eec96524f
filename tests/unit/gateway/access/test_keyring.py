"""Which key signs, which verify, and what is published, at any moment of a change of keys."""

import base64
import hashlib
import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from libs.common.errors import Unauthenticated, Unavailable
from services.gateway.access import keyring
from services.gateway.access.keyring import KeyRing, NoSigningKey, private_key, public_key
from services.gateway.access.tokens import LIFETIME_SECONDS, Tokens, UnknownKey

NOW = 1_900_000_000.0
ISSUER = "https://reeve.example"
FIRST, SECOND = (Ed25519PrivateKey.from_private_bytes(letter * 32) for letter in (b"1", b"2"))
LEAD = 60


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


def changing() -> KeyRing:
    """The ring as it is once a second key was published at `NOW`."""
    return KeyRing(
        (
            private_key(b"1" * 32, verifies_until=NOW + LEAD + LIFETIME_SECONDS),
            private_key(b"2" * 32, signs_from=NOW + LEAD),
        )
    )


def kids() -> tuple[str, str]:
    first, second = changing().keys
    return first.kid, second.kid


def test_a_kid_is_the_thumbprint_of_the_public_key() -> None:
    """RFC 7638, 3.2: the SHA-256 of the required members in their order; RFC 8037, 2: of an OKP these are three."""
    x = base64.urlsafe_b64encode(keyring.raw_public(FIRST)).rstrip(b"=").decode()
    members = json.dumps({"crv": "Ed25519", "kty": "OKP", "x": x}, separators=(",", ":"), sort_keys=True)
    digest = base64.urlsafe_b64encode(hashlib.sha256(members.encode()).digest()).rstrip(b"=").decode()
    assert kids()[0] == digest


@pytest.mark.parametrize(("after", "signer"), [(0, 0), (LEAD - 1, 0), (LEAD, 1), (10_000, 1)])
def test_the_old_key_signs_until_the_turn_of_the_new_one(after: float, signer: int) -> None:
    assert changing().signing(NOW + after).kid == kids()[signer]


def test_where_no_turn_has_come_the_next_key_signs() -> None:
    """A gateway whose clock is behind must not be left without any."""
    ring = KeyRing((private_key(b"1" * 32, signs_from=NOW + 30), private_key(b"2" * 32, signs_from=NOW + 90)))
    assert ring.signing(NOW).kid == kids()[0]


def test_a_key_that_only_verifies_or_has_ended_never_signs() -> None:
    public = public_key(keyring.raw_public(SECOND), signs_from=NOW)
    assert KeyRing((private_key(b"1" * 32), public)).signing(NOW).kid == kids()[0]
    with pytest.raises(NoSigningKey):
        KeyRing((public, private_key(b"1" * 32, verifies_until=NOW))).signing(NOW)


def test_both_keys_are_published_without_their_private_halves() -> None:
    shown = changing().published(NOW)
    assert [one["kid"] for one in shown] == [kids()[1], kids()[0]]
    for one in shown:
        assert {name: one[name] for name in ("kty", "crv", "use", "alg")} == {
            "kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA",
        }  # fmt: skip
        assert set(one) == {"kty", "crv", "x", "kid", "use", "alg"}
    assert [one["kid"] for one in changing().published(NOW + LEAD + LIFETIME_SECONDS)] == [kids()[1]]


def new_tokens(clock: Clock, ring: KeyRing | None = None) -> Tokens:
    made = Tokens(FIRST, issuer=ISSUER, clock=clock)
    if ring is not None:
        made.use(ring)
    return made


def an_access_token(of: Tokens) -> str:
    return of.for_client(client_id="shop", scope="").text


@given(st.floats(0, LEAD + LIFETIME_SECONDS - 1), st.floats(0, LIFETIME_SECONDS - 1))
def test_whatever_was_signed_during_a_change_verifies_until_it_ends(signed_after: float, used_after: float) -> None:
    """Two gateways, one of which learns of the new key only when the other has used it."""
    clock = Clock()
    ours, theirs = new_tokens(clock, changing()), new_tokens(clock, changing())
    clock.now = NOW + signed_after
    token = an_access_token(ours)
    clock.now += used_after
    assert theirs.verify(token).client_id == "shop"


def test_a_token_of_a_key_that_is_new_elsewhere_is_told_from_a_forgery() -> None:
    clock = Clock()
    behind = new_tokens(clock)
    clock.now = NOW + LEAD
    token = an_access_token(new_tokens(clock, changing()))
    with pytest.raises(UnknownKey):
        behind.verify(token)
    behind.use(changing())
    assert behind.verify(token).client_id == "shop"
    with pytest.raises(Unauthenticated) as refused:
        behind.verify(f"{token[:-6]}AAAAAA")
    assert not isinstance(refused.value, UnknownKey)


def test_a_key_that_left_the_ring_opens_nothing_not_even_what_was_verified_before() -> None:
    clock = Clock()
    ours = new_tokens(clock)
    token = an_access_token(ours)
    ours.verify(token)
    ours.use(KeyRing((private_key(b"2" * 32),)))
    with pytest.raises(UnknownKey):
        ours.verify(token)


def test_one_key_does_not_vouch_for_anothers_name() -> None:
    """A token that names the first key and is signed by the second, both of which are ours."""
    clock = Clock()
    ours = new_tokens(clock, KeyRing((private_key(b"1" * 32), private_key(b"2" * 32, signs_from=NOW))))
    header, payload, _ = an_access_token(new_tokens(clock)).split(".")
    signature = base64.urlsafe_b64encode(SECOND.sign(f"{header}.{payload}".encode())).rstrip(b"=").decode()
    with pytest.raises(Unauthenticated):
        ours.verify(f"{header}.{payload}.{signature}")


def test_without_a_key_that_can_sign_nobody_is_given_a_token() -> None:
    ours = new_tokens(Clock(), KeyRing((public_key(keyring.raw_public(FIRST)),)))
    with pytest.raises(Unavailable) as refused:
        an_access_token(ours)
    assert refused.value.code == "signing_key_unavailable"
