"""Tokens as other issuers sign them, honest and hostile; made with another library than the one that checks them."""

import base64
import json
from collections.abc import Mapping
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

ISSUER = "https://idp.example/realms/staff"
AUDIENCE = "reeve-api"
NOW = 1_900_000_000
KID = "key-1"

RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
ED_KEY = ed25519.Ed25519PrivateKey.from_private_bytes(b"e" * 32)
STRANGERS_KEY = ec.generate_private_key(ec.SECP256R1())

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
KEYS: Mapping[str, PrivateKey] = {"RS256": RSA_KEY, "ES256": EC_KEY, "EdDSA": ED_KEY}


def public_jwk(key: PrivateKey, *, kid: str | None = KID, **members: Any) -> dict[str, Any]:
    """The public half as a JWK; a member that is None is left out."""
    name = "EdDSA"
    if isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        name = "RS256" if isinstance(key, rsa.RSAPrivateKey) else "ES256"
    made = json.loads(jwt.get_algorithm_by_name(name).to_jwk(key.public_key()))
    made.pop("key_ops", None)
    shown = {**made, "kid": kid, "alg": name, "use": "sig", **members}
    return {member: value for member, value in shown.items() if value is not None}


def key_set(*keys: Mapping[str, Any]) -> bytes:
    """A JWK set as an issuer publishes it."""
    return json.dumps({"keys": list(keys)}).encode()


def claims(**changes: Any) -> dict[str, Any]:
    """The claims of an access token that holds, but for these; None leaves one out."""
    said = {
        "iss": ISSUER, "sub": "alice", "aud": AUDIENCE, "exp": NOW + 300, "iat": NOW, "jti": "t-1", "client_id": "spa",
        "roles": ["reeve-admins"],
    }  # fmt: skip
    return {name: value for name, value in {**said, **changes}.items() if value is not None}


def token(said: Mapping[str, Any] | None = None, *, algorithm: str = "ES256", key: Any = None, **header: Any) -> str:
    """A signed token. Its header is that of an access token, but for the members given; None leaves one out."""
    shown = {"typ": "at+jwt", "kid": KID, **header}
    whole = {name: value for name, value in {"alg": algorithm, **shown}.items() if value is not None}
    # PyJWT refuses to sign some of what must be tried, so header and payload are put together here.
    signed = f"{encoded(json.dumps(whole).encode())}.{encoded(json.dumps(claims() if said is None else said).encode())}"
    return f"{signed}.{encoded(signature(signed.encode(), algorithm, key))}"


def signature(signed: bytes, algorithm: str, key: Any = None) -> bytes:
    """Made by PyJWT; for an algorithm that it does not know, no signature at all."""
    if algorithm not in jwt.algorithms.get_default_algorithms():
        return b"none"
    maker = jwt.get_algorithm_by_name(algorithm)
    chosen = key if key is not None else KEYS.get(algorithm, RSA_KEY)
    made: bytes = maker.sign(signed, maker.prepare_key(chosen) if isinstance(chosen, bytes | str) else chosen)
    return made


def encoded(part: bytes) -> str:
    """base64url without padding."""
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


def decoded(part: str) -> Any:
    """The JSON of one part of a token."""
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
