"""A signed token has one spelling, and nothing in it chooses the key or the way it is checked."""

import hashlib
import hmac
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.access.issuers.compact import MOST_TOKEN_CHARACTERS, looks_signed, read_compact, verify
from services.gateway.access.issuers.keys import VerifyingKey, read_keys
from services.gateway.access.issuers.models import DEFAULT_ALGORITHMS, BadToken
from tests.support.foreign_tokens import (
    EC_KEY,
    ED_KEY,
    KEYS,
    RSA_KEY,
    STRANGERS_KEY,
    claims,
    encoded,
    key_set,
    public_jwk,
    signature,
    token,
)


def published(key: Any, **members: Any) -> VerifyingKey:
    (found,) = read_keys(key_set(public_jwk(key, **members))).values()
    return found


EC_PUBLIC = published(EC_KEY)
PEM = EC_KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
POINT = EC_KEY.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def holds(text: str, key: VerifyingKey = EC_PUBLIC, *, allowed: tuple[str, ...] = DEFAULT_ALGORITHMS) -> bool:
    try:
        verify(read_compact(text), key, allowed=allowed)
    except BadToken:
        return False
    return True


@pytest.mark.parametrize("algorithm", KEYS)
def test_a_token_of_the_key_holds(algorithm: str) -> None:
    assert holds(token(algorithm=algorithm), published(KEYS[algorithm]))


@pytest.mark.parametrize(
    "header",
    [
        {"jwk": public_jwk(STRANGERS_KEY)},
        {"jwk": public_jwk(EC_KEY)},
        {"jku": "https://evil.example/jwks.json"},
        {"x5u": "https://evil.example/cert.pem"},
        {"x5c": ["MIIB"]},
        {"crit": ["exp"]},
        {"crit": []},
        {"crit": ["b64"], "b64": False},
        {"b64": False},
        {"b64": True},
        {"enc": "A256GCM"},
        {"zip": "DEF"},
        {"cty": "JWT"},
        {"kid": None},
        {"kid": ""},
        {"kid": 7},
        {"kid": ["key-1"]},
        {"kid": "../../../../dev/null"},
        {"kid": "key-1\u0000"},
        {"kid": "x' UNION SELECT 'secret"},
        {"kid": "|/bin/id"},
        {"kid": "key 1"},
        {"kid": "k" * 129},
        {"kid": "schlüssel"},
        {"typ": 1},
        {"typ": ["at+jwt"]},
        {"alg": None},
        {"alg": 1},
        {"alg": ["ES256"]},
        {"alg": "es256"},
        {"alg": "ES256 "},
        {"alg": "ES256K"},
        {"alg": "ES384"},
        {"alg": "RS256"},
        {"alg": "EdDSA"},
        {"alg": "none"},
        {"alg": "None"},
        {"alg": "nOnE"},
        {"alg": "RSA-OAEP"},
        {"alg": "dir"},
    ],
    ids=repr,
)
def test_a_hostile_header_is_refused_even_under_the_right_signature(header: dict[str, Any]) -> None:
    assert not holds(token(**header))


def test_header_members_that_ask_for_nothing_are_passed_over() -> None:
    assert holds(token(None, x5t="dGh1bWI", **{"x5t#S256": "dGh1bWI"}))


@pytest.mark.parametrize("secret", [PEM, POINT, b"", b"secret", json.dumps(public_jwk(EC_KEY)).encode()], ids=repr)
@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_a_public_key_is_no_shared_secret(secret: bytes, algorithm: str) -> None:
    _, payload, _ = token().split(".")
    shown = {"alg": algorithm, "typ": "at+jwt", "kid": "key-1"}
    signed = f"{encoded(json.dumps(shown).encode())}.{payload}"
    made = hmac.new(secret, signed.encode(), getattr(hashlib, f"sha{algorithm[2:]}")).digest()
    forged = f"{signed}.{encoded(made)}"
    assert not holds(forged)
    assert not holds(forged, allowed=("HS256", "HS384", "HS512"))


def test_without_a_signature_nothing_holds() -> None:
    head, payload, _ = token().split(".")
    none = encoded(json.dumps({"alg": "none", "typ": "at+jwt", "kid": "key-1"}).encode())
    for text in (f"{none}.{payload}.", f"{head}.{payload}.", f"{none}.{payload}.AAAA", f"{head}.{payload}"):
        assert not holds(text)
        assert not holds(text, allowed=("none",))


def test_an_algorithm_counts_only_where_the_issuer_and_the_key_allow_it() -> None:
    by_rsa = token(algorithm="PS256")
    assert holds(by_rsa, published(RSA_KEY, alg=None), allowed=("PS256",))
    assert not holds(by_rsa, published(RSA_KEY, alg=None), allowed=("RS256",))
    assert not holds(by_rsa, published(RSA_KEY, alg="RS256"), allowed=("RS256", "PS256"))
    assert not holds(token(algorithm="EdDSA"), published(ED_KEY), allowed=("ES256",))


def test_an_empty_or_constant_signature_of_an_elliptic_curve_is_refused() -> None:
    head, payload, _ = token().split(".")
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    for r, s in ((0, 0), (0, 1), (1, 0), (1, 1), (order, order), (order, 1), (1, order)):
        made = r.to_bytes(32, "big") + s.to_bytes(32, "big")
        assert not holds(f"{head}.{payload}.{encoded(made)}")
    der = EC_KEY.sign(f"{head}.{payload}".encode(), ec.ECDSA(hashes.SHA256()))
    assert not holds(f"{head}.{payload}.{encoded(der)}")


def test_another_key_does_not_vouch() -> None:
    assert not holds(token(key=STRANGERS_KEY))
    assert not holds(token(), published(STRANGERS_KEY))


def test_claims_and_header_of_others_do_not_fit_a_signature() -> None:
    head, payload, made = token().split(".")
    promoted = encoded(json.dumps(claims(roles=["reeve-owners"])).encode())
    assert not holds(f"{head}.{promoted}.{made}")
    other_head = encoded(json.dumps({"alg": "ES256", "typ": "at+jwt", "kid": "key-1", "x": 1}).encode())
    assert not holds(f"{other_head}.{payload}.{made}")


@pytest.mark.parametrize(
    ("header", "payload"),
    [
        ('{"alg":"ES256","kid":"key-1","alg":"none"}', "{}"),
        ('{"alg":"ES256","kid":"key-1"}', '{"sub":"a","sub":"b"}'),
        ('{"alg":"ES256","kid":"key-1"}', '{"exp":NaN}'),
        ('{"alg":"ES256","kid":"key-1"}', '{"exp":Infinity}'),
        ('{"alg":"ES256","kid":"key-1"}', '{"exp":' + "9" * 400 + "}"),
        ('{"alg":"ES256","kid":"key-1"}', "[" * 2000),
        ('{"alg":"ES256","kid":"key-1"}', "[]"),
        ('{"alg":"ES256","kid":"key-1"}', '"alice"'),
        ('["alg"]', "{}"),
        ('{"alg":"ES256","kid":"key-1"', "{}"),
        ('{"alg":"ES256","kid":"key-1"}x', "{}"),
        ('{"alg":"ES256","kid":"key-1"}', "{'sub':1}"),
    ],
    ids=repr,
)
def test_ambiguous_or_broken_json_is_refused_even_when_it_is_signed(header: str, payload: str) -> None:
    signed = f"{encoded(header.encode())}.{encoded(payload.encode())}"
    assert not holds(f"{signed}.{encoded(signature(signed.encode(), 'ES256'))}")


def test_no_other_spelling_of_a_token_is_accepted() -> None:
    text = token()
    head, payload, made = text.split(".")
    last = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    spare = [made[:-1] + last[(last.index(made[-1]) & ~15) | bits] for bits in range(16)]
    spellings = [
        f"{text}=", f"{text}==", f"{head}=.{payload}.{made}", f"{head}.{payload}=.{made}", f" {text}", f"{text}\n",
        f"{text}\x00", f"{text}.", f".{text}", f"{head}..{payload}.{made}", f"{text}.{made}", f"{head}.{payload}.{made}.x.y",
        text.replace(".", "。"), text + "é", f"{head}.{payload}.{made}\ud800", f"{head}+.{payload}.{made}",
        *(f"{head}.{payload}.{other}" for other in spare if other != made),
        json.dumps({"payload": payload, "protected": head, "signature": made}),
        "", ".", "..", "a.b.c", "e.e.e", "x" * 100_000, f"{head}.{'A' * MOST_TOKEN_CHARACTERS}.{made}",
    ]  # fmt: skip
    assert holds(text)
    for one in spellings:
        assert not holds(one), one[:200]


def test_a_spelling_with_spare_bits_is_refused_before_any_signature_is_looked_at() -> None:
    head, payload, made = token().split(".")
    for text in (
        f"{head}.{payload}.AB",
        f"{head}.{encoded(b'{}')[:-1]}1.{made}",
        f"{encoded(b'{}')[:-1]}1.{payload}.{made}",
    ):
        with pytest.raises(BadToken, match="canonical"):
            read_compact(text)


def test_a_token_may_be_8_kib_long_and_no_longer() -> None:
    longest = token(claims(padding="x" * 5700))
    while len(longest) < MOST_TOKEN_CHARACTERS - 3:
        longest = token(claims(padding="x" * (5700 + (MOST_TOKEN_CHARACTERS - len(longest)) * 3 // 4)))
    assert holds(longest)
    assert not holds(token(claims(padding="x" * 6200)))


@given(st.data())
def test_no_flipped_character_is_accepted(data: st.DataObject) -> None:
    text = token(algorithm="EdDSA")
    at = data.draw(st.integers(0, len(text) - 1))
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.="
    other = data.draw(st.sampled_from(letters).filter(lambda letter: letter != text[at]))
    assert not holds(text[:at] + other + text[at + 1 :], published(ED_KEY))


@given(st.text(max_size=300))
def test_any_text_is_refused_and_nothing_breaks(text: str) -> None:
    assert not holds(text)
    assert isinstance(looks_signed(text), bool)
