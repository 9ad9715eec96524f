"""What an access token of another issuer must say, and what its claims make of a caller."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.access.issuers.claims import LEEWAY_SECONDS, identity_of_introspection, identity_of_token
from services.gateway.access.issuers.compact import read_compact
from services.gateway.access.issuers.models import BadToken, Identity, TrustedIssuer, mapped_role
from services.gateway.access.permissions import Role
from tests.support.foreign_tokens import AUDIENCE, ISSUER, NOW, claims, token

TRUSTED = TrustedIssuer(issuer=ISSUER, audience=AUDIENCE, role_map={"reeve-admins": Role.ADMIN})


def identity(said: dict[str, Any], *, now: float = NOW, **header: Any) -> Identity:
    return identity_of_token(read_compact(token(said, **header)), TRUSTED, key="thumb", now=now)


def test_a_token_for_us_stands_for_its_subject_at_its_issuer() -> None:
    found = identity(claims())
    assert (found.issuer, found.subject, found.role, found.client_id) == (ISSUER, "alice", Role.ADMIN, "spa")
    assert found.expires_at == NOW + 300 + LEEWAY_SECONDS


@pytest.mark.parametrize(
    "typ", ["JWT", "jwt", "AT+JWT", "at+jwt ", "logout+jwt", "application/jwt", "id+jwt", "dpop+jwt", "secevent+jwt", None]
)  # fmt: skip
def test_another_type_of_token_is_refused(typ: str | None) -> None:
    with pytest.raises(BadToken, match="typ"):
        identity(claims(), typ=typ)


def test_the_long_name_of_the_type_is_taken_too() -> None:
    assert identity(claims(), typ="application/at+jwt").subject == "alice"


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://idp.example/realms/other"}, {"iss": ISSUER + "/"}, {"iss": ISSUER.upper()}, {"iss": None},
        {"iss": [ISSUER]}, {"aud": "other"}, {"aud": AUDIENCE.upper()}, {"aud": ["other"]}, {"aud": []}, {"aud": None},
        {"aud": {"reeve-api": True}}, {"aud": [AUDIENCE, 7]}, {"aud": f"{AUDIENCE} other"}, {"sub": None}, {"sub": ""},
        {"sub": 7}, {"sub": "s" * 256}, {"exp": NOW - LEEWAY_SECONDS}, {"exp": None}, {"exp": str(NOW + 300)},
        {"exp": True}, {"exp": -1}, {"exp": 2**60}, {"iat": None}, {"iat": NOW + LEEWAY_SECONDS + 1}, {"iat": "now"},
        {"nbf": NOW + LEEWAY_SECONDS + 1}, {"nbf": "later"}, {"jti": None}, {"jti": ""}, {"jti": 7}, {"client_id": None},
        {"cnf": {"jkt": "thumb"}}, {"cnf": None, "x": 1, "sub": ["alice"]},
    ],
    ids=repr,
)  # fmt: skip
def test_claims_that_are_not_for_us_now_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(BadToken):
        identity(claims(**changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": [AUDIENCE]}, {"aud": ["other", AUDIENCE]}, {"exp": NOW - LEEWAY_SECONDS + 1}, {"exp": NOW + 0.5},
        {"iat": NOW + LEEWAY_SECONDS}, {"nbf": NOW + LEEWAY_SECONDS}, {"sub": "s" * 255}, {"sub": "名前 with # and spaces"},
    ],
    ids=repr,
)  # fmt: skip
def test_what_clocks_and_lists_may_make_of_them_is_taken(changes: dict[str, Any]) -> None:
    assert identity(claims(**changes)).issuer == ISSUER


def test_the_same_subject_elsewhere_is_somebody_else() -> None:
    here = identity(claims())
    elsewhere = Identity("https://other.example", "alice", None, "spa", 0, None)
    assert here.id != elsewhere.id
    assert here.name != elsewhere.name
    assert here.id == identity(claims(jti="t-2", roles=[])).id


def introspected(**changes: Any) -> dict[str, Any]:
    said = {
        "active": True,
        "sub": "alice",
        "aud": AUDIENCE,
        "exp": NOW + 60,
        "client_id": "spa",
        "roles": "reeve-admins",
    }
    return {name: value for name, value in {**said, **changes}.items() if value is not None}


def test_an_active_opaque_token_stands_for_its_subject() -> None:
    found = identity_of_introspection(introspected(iss=ISSUER, token_type="bearer"), TRUSTED, now=NOW)
    assert (found.subject, found.role, found.key) == ("alice", Role.ADMIN, None)


def test_a_client_s_own_opaque_token_stands_for_the_client() -> None:
    assert identity_of_introspection(introspected(sub=None), TRUSTED, now=NOW).subject == "spa"


@pytest.mark.parametrize(
    "changes",
    [
        {"active": False}, {"active": None}, {"active": "true"}, {"active": 1}, {"aud": None}, {"aud": "other"},
        {"iss": "https://other.example"}, {"exp": None}, {"exp": NOW - 60}, {"nbf": NOW + 61}, {"token_type": "DPoP"},
        {"cnf": {"x5t#S256": "x"}}, {"client_id": None}, {"sub": 7}, {"sub": ""},
    ],
    ids=repr,
)  # fmt: skip
def test_an_introspection_that_does_not_speak_for_us_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(BadToken):
        identity_of_introspection(introspected(**changes), TRUSTED, now=NOW)


ROLES = {
    "reeve-admins": Role.ADMIN,
    "reeve-viewers": Role.VIEWER,
    "Site Owners": Role.SUPER_ADMIN,
    "write": Role.MODERATOR,
    "biller": "billing",
    "auditors": "auditor",
}


@pytest.mark.parametrize(
    ("said", "claim", "role"),
    [
        ({"roles": ["reeve-admins"]}, "roles", Role.ADMIN),
        ({"roles": "reeve-admins"}, "roles", Role.ADMIN),
        ({"roles": ["reeve-viewers", "reeve-admins", "x"]}, "roles", Role.ADMIN),
        ({"roles": ["reeve-viewers", "Site Owners"]}, "roles", Role.SUPER_ADMIN),
        ({"roles": "Site Owners"}, "roles", Role.SUPER_ADMIN),
        ({"scope": "openid write"}, "scope", Role.MODERATOR),
        ({"realm_access": {"roles": ["reeve-viewers"]}}, "realm_access.roles", Role.VIEWER),
        ({"https://x.example/roles": ["reeve-viewers"]}, "https://x.example/roles", Role.VIEWER),
        ({"roles": ["REEVE-ADMINS"]}, "roles", None),
        ({"roles": ["reeve-admins "]}, "roles", None),
        ({"roles": ["super_admin", "admin"]}, "roles", None),
        ({"roles": {"reeve-admins": True}}, "roles", None),
        ({"roles": [["reeve-admins"]]}, "roles", None),
        ({"roles": 7}, "roles", None),
        ({"roles": None}, "roles", None),
        ({"role": "reeve-admins"}, "roles", None),
        ({"realm_access": ["roles"]}, "realm_access.roles", None),
        ({}, "roles", None),
        ({"roles": ["biller"]}, "roles", "billing"),
        ({"roles": ["auditors", "biller"]}, "roles", "billing"),
        ({"roles": ["biller", "reeve-viewers"]}, "roles", Role.VIEWER),
    ],
)
def test_claims_map_to_the_most_powerful_role_that_is_configured(
    said: dict[str, Any], claim: str, role: str | None
) -> None:
    assert mapped_role(said, claim, ROLES) == role


@given(
    st.dictionaries(
        st.text(max_size=8),
        st.recursive(
            st.text(max_size=12) | st.integers() | st.none(),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        ),
    )
)
def test_nothing_that_is_not_configured_gives_a_role(said: dict[str, Any]) -> None:
    assert mapped_role(said, "roles", {}) is None
    assert mapped_role({"roles": said}, "roles", ROLES) is None
