"""Forged, stale and foreign tokens at the door."""

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from libs.common.ids import new_id
from services.gateway.access.tokens import Tokens
from tests.integration.gateway.access.door import ISSUER, KEY, Door


def encoded(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


def changed_header(token: str, **members: Any) -> tuple[str, str]:
    header, payload, _ = token.split(".")
    shown = {**json.loads(base64.urlsafe_b64decode(header + "==")), **members}
    return encoded(json.dumps(shown).encode()), payload


def forgeries(token: str) -> dict[str, str]:
    """What an attacker makes of a token that was seen once, without the key."""
    header, payload, signature = token.split(".")
    public = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    made = {
        "padded": f"{token}=",
        "padded twice": f"{token}==",
        "no signature": f"{header}.{payload}.",
        "two parts": f"{header}.{payload}",
        "empty claims": f"{header}.e30.{signature}",
    }
    for algorithm in ("none", "None", "NONE"):
        unsigned, _ = changed_header(token, alg=algorithm)
        made[f"alg {algorithm}"] = f"{unsigned}.{payload}."
        made[f"alg {algorithm}, signed"] = f"{unsigned}.{payload}.{signature}"
    confused, _ = changed_header(token, alg="HS256")
    mac = hmac.new(public, f"{confused}.{payload}".encode(), hashlib.sha256).digest()
    made["HS256 over the public key"] = f"{confused}.{payload}.{encoded(mac)}"
    stranger = Ed25519PrivateKey.generate()
    key = {
        "kty": "OKP",
        "crv": "Ed25519",
        "x": encoded(stranger.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)),
    }
    own, _ = changed_header(token, jwk=key)
    made["embedded key"] = f"{own}.{payload}.{encoded(stranger.sign(f'{own}.{payload}'.encode()))}"
    made["another key"] = f"{header}.{payload}.{encoded(stranger.sign(f'{header}.{payload}'.encode()))}"
    promoted = {**json.loads(base64.urlsafe_b64decode(payload + "==")), "scope": "admin", "sub": new_id()}
    made["changed claims"] = f"{header}.{encoded(json.dumps(promoted).encode())}.{signature}"
    return made


async def test_no_forgery_gets_in(door: Door) -> None:
    token = await door.token_of("viewer")
    for name, text in forgeries(token).items():
        answer = await door.call("GET", "/auth/me", token=text)
        assert answer.status_code == 401, name
        assert answer.json()["detail"]["error"] == "invalid_token", name
    assert (await door.call("GET", "/auth/me", token=token)).status_code == 200


async def test_an_expired_token_is_refused(door: Door) -> None:
    session_id = door.access.tokens.verify(await door.token_of("viewer")).sid
    assert session_id is not None
    past = Tokens(KEY, issuer=ISSUER, clock=lambda: time.time() - 901)
    stale = past.for_session(user_id="u", session_id=session_id, scope="read", signed_in_at=0, session_ends_at=2**40)
    assert (await door.call("GET", "/auth/me", token=stale.text)).status_code == 401


@pytest.mark.parametrize("issuer", ["http://other.test", f"{ISSUER}/"])
async def test_a_token_of_another_issuer_with_the_same_key_is_refused(door: Door, issuer: str) -> None:
    session_id = door.access.tokens.verify(await door.token_of("viewer")).sid
    assert session_id is not None
    foreign = Tokens(KEY, issuer=issuer)
    text = foreign.for_session(
        user_id="u", session_id=session_id, scope="read", signed_in_at=0, session_ends_at=2**40
    ).text
    assert (await door.call("GET", "/auth/me", token=text)).status_code == 401


async def test_a_signed_token_of_a_session_that_never_was_is_refused(door: Door) -> None:
    text = door.access.tokens.for_session(
        user_id=new_id(), session_id=new_id(), scope="admin", signed_in_at=0, session_ends_at=2**40
    ).text
    assert (await door.call("GET", "/auth/me", token=text)).status_code == 401


async def test_a_signed_token_of_a_client_that_never_was_is_refused(door: Door) -> None:
    text = door.access.tokens.for_client(client_id="ghost", scope="users:read").text
    assert (await door.call("GET", "/users", token=text)).status_code == 401


async def test_a_refresh_token_is_no_access_token(door: Door) -> None:
    tokens = await door.sign_in()
    assert (await door.call("GET", "/auth/me", token=tokens["refresh_token"])).status_code == 401
