"""Whatever an issuer publishes is taken or refused; nothing that it publishes breaks the gateway."""

import json
from contextlib import suppress
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from services.gateway.access.issuers.claims import identity_of_introspection, identity_of_token
from services.gateway.access.issuers.compact import Compact
from services.gateway.access.issuers.id_tokens import Expected, read_id_token, read_logout_token
from services.gateway.access.issuers.keys import BadKeys, read_keys
from services.gateway.access.issuers.metadata import BadMetadata, read_metadata
from services.gateway.access.issuers.models import BadToken, TrustedIssuer
from tests.support.foreign_tokens import AUDIENCE, EC_KEY, ED_KEY, ISSUER, NOW, RSA_KEY, claims, public_jwk

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
GOOD = {"rsa": public_jwk(RSA_KEY), "ec": public_jwk(EC_KEY), "ed": public_jwk(ED_KEY)}
TRUSTED = TrustedIssuer(issuer=ISSUER, audience=AUDIENCE)
MEMBERS = ("kty", "crv", "n", "e", "x", "y", "kid", "alg", "use", "key_ops", "x5c", "ext", "oth")


@given(st.sampled_from(sorted(GOOD)), st.dictionaries(st.sampled_from(MEMBERS), JSON, max_size=4))
def test_a_key_with_any_members_is_taken_left_out_or_refused(kind: str, changes: dict[str, Any]) -> None:
    try:
        found = read_keys(json.dumps({"keys": [{**GOOD[kind], **changes}]}).encode())
    except BadKeys:
        return
    assert len(found) == 1


@given(st.binary(max_size=200) | JSON.map(lambda value: json.dumps({"keys": value}).encode()))
def test_any_bytes_are_a_key_set_or_refused(body: bytes) -> None:
    with suppress(BadKeys):
        read_keys(body)


@given(st.dictionaries(st.sampled_from(("issuer", "jwks_uri", "token_endpoint", "userinfo_endpoint")), JSON))
def test_any_document_is_the_issuer_s_or_refused(said: dict[str, Any]) -> None:
    try:
        found = read_metadata(json.dumps(said).encode(), issuer=ISSUER, origins=TRUSTED.allowed_origins)
    except BadMetadata:
        return
    assert found.issuer == ISSUER


@given(st.dictionaries(st.sampled_from((*claims(), "nonce", "azp", "at_hash", "sid", "events", "cnf")), JSON))
def test_any_claims_stand_for_somebody_or_are_refused(said: dict[str, Any]) -> None:
    compact = Compact("", "ES256", "key-1", "at+jwt", {**claims(), **said})
    readers = (
        lambda: identity_of_token(compact, TRUSTED, key="k", now=NOW),
        lambda: identity_of_introspection({"active": True, **said}, TRUSTED, now=NOW),
        lambda: read_id_token(compact, Expected(ISSUER, "c"), nonce="n", access_token="a", now=NOW),
        lambda: read_logout_token(compact, Expected(ISSUER, "c"), now=NOW),
    )
    for read in readers:
        try:
            read()
        except BadToken:
            continue
