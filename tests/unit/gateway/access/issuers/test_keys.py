"""Which published keys are taken, which are left out, and which make the whole set worthless."""

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from services.gateway.access.issuers.keys import MOST_KEYS_OF_ISSUER, BadKeys, read_keys
from tests.support.foreign_tokens import EC_KEY, ED_KEY, RSA_KEY, key_set, public_jwk

GOOD = public_jwk(EC_KEY, kid="good")


def test_keys_are_found_by_their_names() -> None:
    found = read_keys(key_set(public_jwk(RSA_KEY, kid="a"), public_jwk(EC_KEY, kid="b"), public_jwk(ED_KEY, kid="c")))
    assert {name: sorted(key.algorithms) for name, key in found.items()} == {
        "a": ["RS256"], "b": ["ES256"], "c": ["EdDSA"],
    }  # fmt: skip


def test_a_key_that_names_no_algorithm_serves_those_of_its_kind() -> None:
    found = read_keys(key_set(public_jwk(RSA_KEY, alg=None), public_jwk(ED_KEY, kid="ed", alg=None)))
    assert found["key-1"].serves("PS512")
    assert not found["key-1"].serves("HS256")
    assert found["ed"].algorithms == {"EdDSA", "Ed25519"}


def test_the_same_name_with_another_key_has_another_thumbprint() -> None:
    (before,) = read_keys(key_set(public_jwk(EC_KEY))).values()
    (after,) = read_keys(key_set(public_jwk(ec.generate_private_key(ec.SECP256R1())))).values()
    assert before.kid == after.kid
    assert before.thumbprint != after.thumbprint


@pytest.mark.parametrize(
    "changes",
    [
        {"use": "enc"}, {"use": None, "key_ops": ["encrypt"]}, {"key_ops": ["sign"]}, {"key_ops": []},
        {"kid": None}, {"kid": ""}, {"kid": "a b"}, {"kid": "../x"}, {"kid": 5}, {"kid": "k" * 129},
        {"alg": "ES384"}, {"alg": "RS256"}, {"alg": "ECDH-ES"}, {"alg": "none"}, {"alg": None, "crv": "secp256k1"},
        {"alg": None, "crv": "P-384"}, {"alg": None, "crv": 256}, {"alg": None, "kty": "RSA"}, {"alg": None, "kty": "EC2"},
        {"kty": 1}, {"x": "AAAA"}, {"x": "!"}, {"y": None}, {"x": GOOD["y"]},
    ],
)  # fmt: skip
def test_a_key_that_cannot_be_used_is_left_out(changes: dict[str, Any]) -> None:
    assert list(read_keys(key_set(GOOD, public_jwk(EC_KEY, **{"kid": "odd", **changes})))) == ["good"]


def weak(bits: int) -> dict[str, Any]:
    return public_jwk(rsa.generate_private_key(public_exponent=65537, key_size=bits), kid="weak")


SOUND = public_jwk(RSA_KEY, kid="weak")


def encoded(number: int) -> str:
    return base64.urlsafe_b64encode(number.to_bytes((number.bit_length() + 7) // 8, "big")).rstrip(b"=").decode()


@pytest.mark.parametrize(
    "jwk",
    [
        weak(1024),
        {**SOUND, "e": encoded(3)},
        {**SOUND, "e": encoded(1)},
        {**SOUND, "e": encoded(65537 + 2**64)},
        {**SOUND, "n": encoded(2**16384 + 1)},
        # A modulus whose residues are all powers of 65537: the mark of ROCA.
        {**SOUND, "n": encoded(pow(65537, 130))},
    ],
    ids=["1024 bits", "exponent 3", "exponent 1", "giant exponent", "giant modulus", "roca"],
)
def test_weak_rsa_keys_are_left_out(jwk: dict[str, Any]) -> None:
    assert list(read_keys(key_set(GOOD, jwk))) == ["good"]


@pytest.mark.parametrize(
    "body",
    [
        key_set(GOOD, {"kty": "oct", "kid": "shared", "k": "c2VjcmV0", "alg": "HS256"}),
        key_set(GOOD, {"kty": "oct", "kid": "empty"}),
        key_set(GOOD, public_jwk(RSA_KEY, kid="leaked", d="AQAB")),
        key_set(GOOD, public_jwk(ED_KEY, kid="leaked", d="AQAB")),
        key_set(GOOD, GOOD),
        key_set(GOOD, public_jwk(RSA_KEY, kid="good")),
        key_set(GOOD, public_jwk(RSA_KEY, kid="good", use="enc")),
        key_set(*(public_jwk(EC_KEY, kid=f"k{number}") for number in range(MOST_KEYS_OF_ISSUER + 1))),
        key_set(),
        key_set(public_jwk(EC_KEY, kid=None)),
        b"", b"[]", b"{}", b'{"keys": {}}', b'{"keys": [7]}', b'{"keys": "x"}', b"\xff", b"not json",
        b'{"keys": [], "keys": []}', b"[" * 5000, json.dumps([GOOD]).encode(),
    ],
    ids=lambda body: f"{len(body)} characters",
)  # fmt: skip
def test_a_poisoned_set_is_refused_whole(body: bytes) -> None:
    with pytest.raises(BadKeys):
        read_keys(body)


def test_as_many_keys_as_are_allowed_are_taken() -> None:
    many = [public_jwk(EC_KEY, kid=f"k{number}") for number in range(MOST_KEYS_OF_ISSUER)]
    assert len(read_keys(key_set(*many))) == MOST_KEYS_OF_ISSUER
