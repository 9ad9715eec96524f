"""Assertions: one caller, one call, one audience, half a minute; any other use is refused."""

import base64
import json
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from libs.common.assertions import LIFETIME_SECONDS, MOST_CACHED, AssertionMinter, AssertionVerifier
from libs.common.errors import Unauthenticated
from libs.common.identity import Actor, ActorType, Caller, Level, Origin
from tests.support.foreign_tokens import RSA_KEY

KEY = Ed25519PrivateKey.generate()
PEM = KEY.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
PUBLIC_PEM = KEY.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
NOW = 1_800_000_000.0
CALL = {"permission": "settings:read", "method": "GET", "target": "/internal/settings?limit=5"}


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


def caller(actor_id: str = "0199-ada", **origin: str) -> Caller:
    """An administrator with every permission."""
    actor = Actor(actor_id, ActorType.ADMIN, "ada@example.com", "admin", Level.ADMIN, frozenset({"*"}), "session-1")
    return Caller(actor, Origin(**({"ip_address": "203.0.113.9", "request_id": "request-1"} | origin)), "request-1")


def minted(**changed: str) -> str:
    """An assertion for `CALL`, but for what is changed."""
    arguments = {"audience": "settings"} | CALL | changed
    return AssertionMinter(KEY, clock=Clock()).mint(caller(), **arguments)


def verifier(clock: Clock | None = None, audience: str = "settings") -> AssertionVerifier:
    """The settings service's verifier."""
    return AssertionVerifier(KEY.public_key(), audience, clock=clock or Clock())


def claims(**changed: Any) -> dict[str, Any]:
    """The claims of a good assertion, but for what is changed; None takes a claim away."""
    body = minted().split(".")[1]
    found = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))) | changed
    return {name: value for name, value in found.items() if value is not ...}


def signed(payload: dict[str, Any], header: dict[str, Any] | None = None) -> str:
    """A token with these claims, signed by the right key with our own code, whatever its header says."""
    head = {"alg": "Ed25519", "typ": "reeve-assertion+jwt"} if header is None else header
    text = f"{encoded(head)}.{encoded(payload)}"
    return f"{text}.{base64.urlsafe_b64encode(KEY.sign(text.encode())).decode().rstrip('=')}"


def encoded(part: dict[str, Any]) -> str:
    """A part of a JWT."""
    return base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")


def test_the_caller_arrives_with_the_one_permission_that_was_checked() -> None:
    arrived = verifier().verify(minted(), **CALL, request_id="request-2", traceparent="00-1")
    assert arrived.actor == Actor(
        "0199-ada", ActorType.ADMIN, "ada@example.com", "admin", Level.ADMIN, frozenset({"settings:read"}), "session-1"
    )
    assert arrived.origin == Origin(ip_address="203.0.113.9", request_id="request-2")
    assert (arrived.correlation_id, arrived.traceparent) == ("request-2", "00-1")


@pytest.mark.parametrize(
    "changed",
    [
        {"permission": "settings:write"},
        {"permission": "public"},
        {"method": "POST"},
        {"method": "get"},
        {"target": "/internal/settings?limit=6"},
        {"target": "/internal/settings"},
        {"target": "/internal/settings/theme"},
        {"target": "/internal/settings?limit=5&limit=5"},
    ],
)
def test_an_assertion_is_refused_for_any_other_call(changed: dict[str, str]) -> None:
    service = verifier()
    with pytest.raises(Unauthenticated):
        service.verify(minted(), **(CALL | changed))
    service.verify(minted(), **CALL)
    with pytest.raises(Unauthenticated):
        service.verify(minted(), **(CALL | changed))


def test_an_assertion_for_another_audience_is_refused() -> None:
    with pytest.raises(Unauthenticated, match="audience"):
        verifier().verify(minted(audience="audit"), **CALL)


def test_an_assertion_ends_after_thirty_seconds_also_where_it_is_known() -> None:
    clock = Clock()
    service, token = verifier(clock), minted()
    service.verify(token, **CALL)
    clock.now = NOW + LIFETIME_SECONDS - 0.01
    service.verify(token, **CALL)
    clock.now = NOW + LIFETIME_SECONDS
    for _ in range(2):
        with pytest.raises(Unauthenticated, match="expired"):
            service.verify(token, **CALL)


@pytest.mark.parametrize(
    "changed",
    [
        {"sub": "0199-bob"},
        {"aud": "audit"},
        {"aud": ["settings"]},
        {"iss": "somebody"},
        {"act": {"sub": "somebody"}},
        {"exp": int(NOW) + 3600},
        {"exp": "never"},
        {"iat": int(NOW) + 600, "exp": int(NOW) + 630},
        {"iat": int(NOW) - 600},
        {"level": "god"},
        {"kind": "god"},
        {"perm": "*"},
        {"extra": 1},
        {"jti": ...},
        {"exp": ...},
        {"origin": {"is_admin": "yes"}},
    ],
    ids=str,
)
def test_claims_that_were_changed_are_refused(changed: dict[str, Any]) -> None:
    """Once with the old signature and once, where the claim itself is wrong, with a good one."""
    head, _, signature = minted().split(".")
    with pytest.raises(Unauthenticated):
        verifier().verify(f"{head}.{encoded(claims(**changed))}.{signature}", **CALL)
    if "sub" not in changed:
        with pytest.raises(Unauthenticated):
            verifier().verify(signed(claims(**changed)), **CALL)


def test_our_own_signing_in_these_tests_is_good_so_that_refusals_mean_something() -> None:
    assert verifier().verify(signed(claims()), **CALL).actor.id == "0199-ada"


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "none"},
        {"alg": "EdDSA", "typ": "reeve-assertion+jwt"},
        {"alg": "Ed25519", "typ": "JWT"},
        {"alg": "Ed25519"},
        {"alg": "Ed25519", "typ": "reeve-assertion+jwt", "kid": "x"},
        {"alg": "Ed25519", "typ": "reeve-assertion+jwt", "jwk": {"kty": "OKP", "crv": "Ed25519", "x": "A" * 43}},
        {"alg": "Ed25519", "typ": "reeve-assertion+jwt", "crit": ["exp"]},
        {"alg": "Ed25519", "typ": "reeve-assertion+jwt", "b64": False, "crit": ["b64"]},
        {"alg": ["Ed25519"], "typ": "reeve-assertion+jwt"},
        {},
    ],
    ids=str,
)
def test_a_header_that_is_not_exactly_ours_is_refused(header: dict[str, Any]) -> None:
    with pytest.raises(Unauthenticated):
        verifier().verify(signed(claims(), header), **CALL)


def test_tokens_of_another_library_with_confused_algorithms_are_refused() -> None:
    headers = {"typ": "reeve-assertion+jwt"}
    tokens = [
        jwt.encode(claims(), "", algorithm="none", headers=headers),
        jwt.encode(claims(), KEY.public_key().public_bytes_raw(), algorithm="HS256", headers=headers),
        jwt.encode(claims(), base64.b64encode(PUBLIC_PEM), algorithm="HS256", headers=headers),
        jwt.encode(claims(), RSA_KEY, algorithm="RS256", headers=headers),
        jwt.encode(claims(), Ed25519PrivateKey.generate(), algorithm="EdDSA", headers=headers),
    ]
    for token in tokens:
        with pytest.raises(Unauthenticated):
            verifier().verify(token, **CALL)


@pytest.mark.parametrize("added", ["=", "==", "\n", " ", ".", ".x", "\0", "%3D"])
def test_a_token_with_anything_added_is_refused(added: str) -> None:
    service = verifier()
    service.verify(minted(), **CALL)
    for place in (minted() + added, added + minted(), minted().replace(".", f"{added}.", 1)):
        with pytest.raises(Unauthenticated):
            service.verify(place, **CALL)


def test_a_signature_with_its_spare_bits_set_is_refused() -> None:
    token = minted()
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    for spare in range(1, 16):
        other = alphabet[alphabet.index(token[-1]) ^ spare]
        with pytest.raises(Unauthenticated):
            verifier().verify(token[:-1] + other, **CALL)


@given(st.text(max_size=300))
def test_no_text_makes_the_verifier_fail_in_another_way(text: str) -> None:
    with pytest.raises(Unauthenticated):
        verifier().verify(text, **CALL)


def test_a_token_of_enormous_length_is_refused_unread() -> None:
    with pytest.raises(Unauthenticated, match="malformed"):
        verifier().verify("a" * 1_000_000 + ".b.c", **CALL)


def test_the_same_call_again_gets_the_same_text_for_ten_seconds() -> None:
    clock = Clock()
    minter = AssertionMinter(KEY, clock=clock)
    asked = {"audience": "settings"} | CALL
    first = minter.mint(caller(), **asked)
    assert minter.mint(caller(request_id="request-2"), **asked) == first
    clock.now += 9.9
    assert minter.mint(caller(), **asked) == first
    clock.now += 0.2
    assert minter.mint(caller(), **asked) != first


@pytest.mark.parametrize("changed", [{"actor_id": "0199-bob"}, {"ip_address": "198.51.100.1"}, {"user_agent": "x"}])
def test_another_caller_never_gets_the_text_of_the_first(changed: dict[str, str]) -> None:
    minter = AssertionMinter(KEY, clock=Clock())
    asked = {"audience": "settings"} | CALL
    assert minter.mint(caller(), **asked) != minter.mint(caller(**changed), **asked)


def test_a_user_agent_of_any_length_still_makes_an_assertion_that_is_taken() -> None:
    token = AssertionMinter(KEY, clock=Clock()).mint(caller(user_agent="ü" * 100_000), audience="settings", **CALL)
    assert verifier().verify(token, **CALL).origin.user_agent == "ü" * 256


def test_both_caches_are_bounded() -> None:
    clock = Clock()
    minter, service = AssertionMinter(KEY, clock=clock), verifier(clock)
    minter.most_cached = service.most_cached = 8
    for number in range(50):
        call = CALL | {"target": f"/internal/settings/{number}"}
        service.verify(minter.mint(caller(), audience="settings", **call), **call)
        assert minter.cached <= 8
        assert service.cached <= 8
    assert MOST_CACHED <= 10_000


def test_a_known_token_is_verified_at_a_fraction_of_the_cost() -> None:
    """A ratio within one run, measured at the best of several tries on both sides."""
    token = minted()

    def best(service_of: Any) -> float:
        times = []
        for _ in range(30):
            service = service_of()
            begun = time.perf_counter()
            service.verify(token, **CALL)
            times.append(time.perf_counter() - begun)
        return min(times)

    warm = verifier()
    warm.verify(token, **CALL)
    assert best(lambda: warm) < best(verifier) / 5
