"""What an ID token and a logout token must say, and what makes each of them worthless."""

import base64
import hashlib
from typing import Any

import pytest

from services.gateway.access.issuers.claims import LEEWAY_SECONDS
from services.gateway.access.issuers.compact import read_compact
from services.gateway.access.issuers.id_tokens import (
    LOGOUT_EVENT,
    MOST_LOGOUT_AGE_SECONDS,
    Expected,
    LoggedOut,
    SignedIn,
    at_hash,
    read_id_token,
    read_logout_token,
)
from services.gateway.access.issuers.models import BadToken
from tests.support.foreign_tokens import ISSUER, NOW, token

EXPECTED = Expected(ISSUER, "reeve")
NONCE = "the-nonce-of-this-browser"
ACCESS_TOKEN = "an access token"


def id_claims(**changes: Any) -> dict[str, Any]:
    said = {"iss": ISSUER, "sub": "alice", "aud": "reeve", "exp": NOW + 300, "iat": NOW, "nonce": NONCE, "sid": "s-1"}
    return {name: value for name, value in {**said, **changes}.items() if value is not None}


def read(said: dict[str, Any], *, typ: str | None = "JWT", algorithm: str = "ES256") -> SignedIn:
    compact = read_compact(token(said, typ=typ, algorithm=algorithm))
    return read_id_token(compact, EXPECTED, nonce=NONCE, access_token=ACCESS_TOKEN, now=NOW)


@pytest.mark.parametrize("typ", ["JWT", None, "id+jwt"])
def test_an_id_token_for_us_says_who_signed_in(typ: str | None) -> None:
    found = read(id_claims(roles=["a"]), typ=typ)
    assert (found.subject, found.sid, found.claims["roles"]) == ("alice", "s-1", ["a"])


@pytest.mark.parametrize("typ", ["at+jwt", "application/at+jwt", "logout+jwt", "dpop+jwt", "secevent+jwt", ""])
def test_another_kind_of_token_is_no_id_token(typ: str) -> None:
    with pytest.raises(BadToken, match="typ"):
        read(id_claims(), typ=typ)


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": ISSUER + "/"}, {"iss": None}, {"aud": "spa"}, {"aud": ["reeve", "spa"]}, {"aud": ["spa"]}, {"aud": []},
        {"aud": None}, {"azp": "spa"}, {"azp": 7}, {"sub": None}, {"sub": ""}, {"sub": "s" * 256}, {"exp": None},
        {"exp": NOW - LEEWAY_SECONDS}, {"iat": None}, {"iat": NOW + LEEWAY_SECONDS + 1}, {"nonce": None}, {"nonce": ""},
        {"nonce": NONCE + "x"}, {"nonce": NONCE.upper()}, {"nonce": [NONCE]}, {"nonce": "ä"}, {"at_hash": "x"},
        {"at_hash": at_hash("another token", "ES256")}, {"sid": 7}, {"sid": ""},
    ],
    ids=repr,
)  # fmt: skip
def test_an_id_token_that_is_not_for_this_sign_in_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(BadToken):
        read(id_claims(**changes))


@pytest.mark.parametrize("changes", [{"aud": ["reeve"]}, {"azp": "reeve"}, {"sid": None}], ids=repr)
def test_what_the_standard_leaves_open_is_taken(changes: dict[str, Any]) -> None:
    assert read(id_claims(**changes)).subject == "alice"


@pytest.mark.parametrize(("algorithm", "digest"), [("RS256", "sha256"), ("ES256", "sha256"), ("EdDSA", "sha512")])
def test_the_hash_of_the_access_token_is_by_the_algorithm_of_the_signature(algorithm: str, digest: str) -> None:
    whole = hashlib.new(digest, ACCESS_TOKEN.encode()).digest()
    half = base64.urlsafe_b64encode(whole[: len(whole) // 2]).rstrip(b"=").decode()
    assert read(id_claims(at_hash=half), algorithm=algorithm).subject == "alice"
    with pytest.raises(BadToken, match="at_hash"):
        read(id_claims(at_hash=half[:-2] + "AA"), algorithm=algorithm)


def test_the_example_of_the_standard() -> None:
    """Core, A.3: the hash of its access token, by RS256."""
    assert at_hash("jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y", "RS256") == "77QmUPtjPfzWtF2AnpK9RQ"


def logout_claims(**changes: Any) -> dict[str, Any]:
    said = {
        "iss": ISSUER, "aud": "reeve", "iat": NOW, "exp": NOW + 120, "jti": "l-1", "sub": "alice", "sid": "s-1",
        "events": {LOGOUT_EVENT: {}},
    }  # fmt: skip
    return {name: value for name, value in {**said, **changes}.items() if value is not None}


def ended(said: dict[str, Any], *, typ: str | None = "logout+jwt") -> LoggedOut:
    return read_logout_token(read_compact(token(said, typ=typ)), EXPECTED, now=NOW)


def test_a_logout_token_names_whose_session_ended() -> None:
    found = ended(logout_claims())
    assert (found.subject, found.sid, found.key) == ("alice", "s-1", "l-1")
    assert ended(logout_claims(sid=None)).sid is None
    assert ended(logout_claims(sub=None)).subject is None


@pytest.mark.parametrize("typ", ["JWT", None, "at+jwt", "id+jwt", "LOGOUT+JWT"])
def test_another_kind_of_token_ends_nothing(typ: str | None) -> None:
    with pytest.raises(BadToken, match="typ"):
        ended(logout_claims(), typ=typ)


@pytest.mark.parametrize(
    "changes",
    [
        {"nonce": "x"}, {"nonce": ""}, {"events": None}, {"events": {}}, {"events": {LOGOUT_EVENT: True}}, {"events": [LOGOUT_EVENT]},
        {"events": {"http://schemas.openid.net/event/other": {}}}, {"iss": "https://other.example"}, {"aud": "spa"},
        {"aud": ["reeve", "spa"]}, {"jti": None}, {"jti": ""}, {"iat": None}, {"exp": None}, {"exp": NOW - LEEWAY_SECONDS},
        {"iat": NOW - MOST_LOGOUT_AGE_SECONDS - LEEWAY_SECONDS - 1}, {"iat": NOW + LEEWAY_SECONDS + 1},
        {"sub": None, "sid": None}, {"sub": 7}, {"sid": {}},
    ],
    ids=repr,
)  # fmt: skip
def test_a_forged_or_stale_logout_token_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(BadToken):
        ended(logout_claims(**changes))


def test_a_used_logout_token_is_remembered_for_as_long_as_it_could_be_sent_again() -> None:
    said = logout_claims(iat=NOW + LEEWAY_SECONDS, exp=NOW + 2**30)
    until = ended(said).expires_at
    compact = read_compact(token(said, typ="logout+jwt"))
    with pytest.raises(BadToken, match="too old"):
        read_logout_token(compact, EXPECTED, now=until + 1)
