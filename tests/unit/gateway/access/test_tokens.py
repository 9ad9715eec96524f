"""A token is accepted in one form only: ours, whole, in time and for us."""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from libs.common.errors import Unauthenticated
from services.gateway.access.tokens import LIFETIME_SECONDS, Tokens

KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
ISSUER = "https://reeve.example"
NOW = 1_900_000_000


class Clock:
    def __init__(self) -> None:
        self.now = float(NOW)

    def __call__(self) -> float:
        return self.now


def tokens(clock: Clock | None = None, *, issuer: str = ISSUER, most_remembered: int = 100) -> Tokens:
    return Tokens(KEY, issuer=issuer, clock=clock or Clock(), most_remembered=most_remembered)


def admin_token(of: Tokens) -> str:
    return of.for_session(
        user_id="u1", session_id="s1", scope="admin", signed_in_at=NOW, session_ends_at=NOW + 3600
    ).text


def encoded(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


def decoded(part: str) -> Any:
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def forged(*, header: Mapping[str, Any] | None = None, claims: Mapping[str, Any] | None = None) -> str:
    """A token signed with the right key, whose header and claims are ours but for these."""
    own_header, own_claims, _ = admin_token(tokens()).split(".")
    shown = {name: value for name, value in {**decoded(own_header), **(header or {})}.items() if value is not None}
    said = {name: value for name, value in {**decoded(own_claims), **(claims or {})}.items() if value is not None}
    signed = f"{encoded(json.dumps(shown).encode())}.{encoded(json.dumps(said).encode())}"
    return f"{signed}.{encoded(KEY.sign(signed.encode()))}"


def resigned(header: Mapping[str, Any], signature: bytes) -> str:
    return f"{encoded(json.dumps(header).encode())}.{admin_token(tokens()).split('.')[1]}.{encoded(signature)}"


def test_an_admins_token_says_who_in_which_session_since_when() -> None:
    claims = tokens().verify(admin_token(tokens()))
    assert (claims.sub, claims.user_id, claims.sid, claims.scope, claims.auth_time) == ("u1", "u1", "s1", "admin", NOW)
    assert (claims.iss, claims.aud, claims.iat, claims.exp) == (ISSUER, "reeve", NOW, NOW + LIFETIME_SECONDS)


def test_the_header_follows_the_profile() -> None:
    header = decoded(admin_token(tokens()).split(".")[0])
    assert (header["alg"], header["typ"], set(header)) == ("EdDSA", "at+jwt", {"alg", "typ", "kid"})


def test_a_clients_token_says_which_client_with_which_scopes() -> None:
    claims = tokens().verify(tokens().for_client(client_id="shop", scope="events:publish").text)
    assert (claims.sub, claims.client_id, claims.scope, claims.sid) == ("shop", "shop", "events:publish", None)


def test_a_token_never_outlives_its_session() -> None:
    issued = tokens().for_session(
        user_id="u1", session_id="s1", scope="admin", signed_in_at=NOW, session_ends_at=NOW + 40
    )
    assert issued.expires_in == 40
    assert tokens().verify(issued.text).exp == NOW + 40


def test_an_expired_token_is_refused_also_when_it_was_seen_before() -> None:
    clock = Clock()
    ours = tokens(clock)
    text = admin_token(ours)
    ours.verify(text)
    clock.now += LIFETIME_SECONDS
    for _ in range(2):
        with pytest.raises(Unauthenticated):
            ours.verify(text)


def test_the_forger_of_these_tests_would_get_in_with_our_own_header_and_claims() -> None:
    assert tokens().verify(forged()).sid == "s1"


PUBLIC = KEY.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
PUBLIC_PEM = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
STRANGER = Ed25519PrivateKey.from_private_bytes(b"x" * 32)
STRANGER_JWK = {
    "kty": "OKP", "crv": "Ed25519",
    "x": encoded(STRANGER.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)),
}  # fmt: skip


@pytest.mark.parametrize(
    "header",
    [
        {"typ": "JWT"},
        {"typ": "at+JWT"},
        {"typ": "logout+jwt"},
        {"typ": "application/at+jwt"},
        {"typ": None},
        {"kid": "other"},
        {"kid": "../../etc/passwd"},
        {"kid": None},
        {"jwk": STRANGER_JWK},
        {"jku": "https://evil.example/jwks.json"},
        {"x5u": "https://evil.example/cert.pem"},
        {"crit": ["b64"], "b64": False},
        {"crit": ["exp"]},
        {"b64": True},
        {"cty": "JWT"},
        {"alg": "none"},
        {"alg": "None"},
        {"alg": "HS256"},
        {"alg": "ES256"},
        {"alg": "Ed25519"},
        {"alg": "eddsa"},
        {"alg": None},
    ],
    ids=repr,
)
def test_another_header_is_refused_even_under_the_right_signature(header: dict[str, Any]) -> None:
    with pytest.raises(Unauthenticated):
        tokens().verify(forged(header=header))


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://evil.example"},
        {"iss": ISSUER + "/"},
        {"iss": None},
        {"aud": "other"},
        {"aud": ["reeve", "other"]},
        {"aud": ["reeve"]},
        {"aud": None},
        {"exp": NOW},
        {"exp": NOW - 1},
        {"exp": None},
        {"exp": str(NOW + 100)},
        {"exp": NOW + 0.5},
        {"exp": True},
        {"iat": NOW + 60},
        {"sub": None},
        {"sub": 7},
        {"jti": None},
        {"scope": ["admin"]},
        {"role": "super_admin"},
        {"sid": 1},
    ],
    ids=repr,
)
def test_other_claims_are_refused_even_under_the_right_signature(claims: dict[str, Any]) -> None:
    with pytest.raises(Unauthenticated):
        tokens().verify(forged(claims=claims))


def test_unsigned_and_confused_tokens_are_refused() -> None:
    header, payload, signature = admin_token(tokens()).split(".")
    none = encoded(json.dumps({"alg": "none", "typ": "at+jwt"}).encode())
    attempts = [f"{none}.{payload}.", f"{none}.{payload}.{signature}", f"{header}.{payload}.", f"{header}.{payload}"]
    for secret in (PUBLIC, PUBLIC_PEM, b"", b"secret"):
        signed = f"{encoded(json.dumps({'alg': 'HS256', 'typ': 'at+jwt'}).encode())}.{payload}"
        attempts.append(f"{signed}.{encoded(hmac.new(secret, signed.encode(), hashlib.sha256).digest())}")
    attempts.append(resigned({"alg": "EdDSA", "typ": "at+jwt", "jwk": STRANGER_JWK}, STRANGER.sign(b"x")))
    for text in attempts:
        with pytest.raises(Unauthenticated):
            tokens().verify(text)


def test_a_token_of_another_key_is_refused() -> None:
    stranger = Tokens(STRANGER, issuer=ISSUER, clock=Clock())
    with pytest.raises(Unauthenticated):
        tokens().verify(admin_token(stranger))


def test_no_other_spelling_of_a_token_is_accepted() -> None:
    header, payload, signature = admin_token(tokens()).split(".")
    last = signature[-1]
    spare_bits = [signature[:-1] + chr(ord(last) + step) for step in (1, 2, 3) if (chr(ord(last) + step)).isalnum()]
    spellings = [
        f"{header}.{payload}.{signature}=",
        f"{header}.{payload}.{signature}==",
        f"{header}=.{payload}.{signature}",
        f"{header}.{payload}=.{signature}",
        f"{header}.{payload}.{signature}\n",
        f" {header}.{payload}.{signature}",
        f"{header}..{payload}.{signature}",
        f"{header}.{payload}.{signature}.",
        f"{header}.{payload}.{signature}.{signature}",
        f"{header}.{payload}.{signature}é",
        f"{header}.{payload}.{signature}\ud800",
        f"{header}.{payload}.{signature.replace('_', '/').replace('-', '+')}x",
        *(f"{header}.{payload}.{changed}" for changed in spare_bits),
        "",
        ".",
        "..",
        "a.b.c",
        "x" * 100_000,
    ]
    for text in spellings:
        with pytest.raises(Unauthenticated):
            tokens().verify(text)


@given(st.data())
def test_no_flipped_character_is_accepted(data: st.DataObject) -> None:
    ours = tokens()
    text = admin_token(ours)
    at = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(
        st.sampled_from("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=").filter(
            lambda c: c != text[at]
        )
    )
    with pytest.raises(Unauthenticated):
        ours.verify(text[:at] + other + text[at + 1 :])


@given(st.text(max_size=300))
def test_any_text_is_refused_and_nothing_breaks(text: str) -> None:
    with pytest.raises(Unauthenticated):
        tokens().verify(text)


def test_what_is_remembered_is_bounded() -> None:
    ours = tokens(most_remembered=10)
    for _ in range(50):
        ours.verify(admin_token(ours))
    assert len(ours._verified) <= 10
