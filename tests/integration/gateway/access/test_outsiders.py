"""Tokens of another issuer at the door: accepted wherever the gateway's own are, and as somebody in particular."""

import time
from typing import Any

import pytest
from sqlalchemy import text

from libs.common.ids import new_id
from services.gateway.access.issuers.directory import TrustedIssuers
from services.gateway.access.issuers.egress import Egress
from services.gateway.access.issuers.models import TrustedIssuer
from services.gateway.access.outsiders import Outsiders
from services.gateway.access.permissions import Role
from tests.integration.gateway.access.door import PASSWORD, Door
from tests.support.foreign_tokens import AUDIENCE, claims, token
from tests.support.issuer_stand import IssuerStand

ROLES = {"owners": Role.SUPER_ADMIN, "reeve-admins": Role.ADMIN, "watchers": Role.VIEWER, "desk": "front_desk"}
FRONT_DESK = {"permissions": ["users:write", "settings:read"], "level": "write", "description": "The front desk."}


@pytest.fixture
def open_to_others(door: Door, stand: IssuerStand, egress: Egress) -> Door:
    """The door, trusting the stand."""
    trusted = TrustedIssuer(issuer=stand.url, audience=AUDIENCE, role_map=ROLES)
    door.access.outsiders = Outsiders(door.database, TrustedIssuers([trusted], egress))
    return door


def token_of(stand: IssuerStand, *roles: str, **changes: Any) -> str:
    now = int(time.time())
    return token(claims(iss=stand.url, exp=now + 300, iat=now, **{"roles": list(roles), **changes}))


async def put_role(door: Door, body: dict[str, Any]) -> None:
    answer = await door.call("PUT", "/roles/front_desk", token=await door.token_of("super_admin"), json=body)
    assert answer.status_code in (200, 201), answer.text


async def link(door: Door, stand: IssuerStand, email: str, subject: str = "alice") -> str:
    (row,) = await door.run_sql("SELECT id FROM users WHERE email = :email", email=email)
    async with door.database.transaction() as session:
        await session.execute(
            text("INSERT INTO external_identities (issuer, subject, user_id) VALUES (:i, :s, :u)"),
            {"i": stand.url, "s": subject, "u": row.id},
        )
    return str(row.id)


@pytest.mark.parametrize(
    ("roles", "read", "written"), [(("watchers",), 200, 403), (("watchers", "reeve-admins"), 200, 200), (("x",), 403, 403)]
)  # fmt: skip
async def test_the_role_of_the_claims_decides(
    open_to_others: Door, stand: IssuerStand, roles: tuple[str, ...], read: int, written: int
) -> None:
    text = token_of(stand, *roles)
    answer = await open_to_others.call("GET", "/samples/theme", token=text)
    assert answer.status_code == read
    answer = await open_to_others.call("PUT", "/samples/theme", token=text, json={"value": 1})
    assert answer.status_code == written


async def test_the_audit_log_is_told_which_issuer_vouched_for_whom(open_to_others: Door, stand: IssuerStand) -> None:
    await open_to_others.call("GET", "/samples/theme", token=token_of(stand, "watchers"))
    caller = open_to_others.watch.state["caller"]
    assert (caller.origin.username, caller.actor.issuer) == (f"{stand.url}#alice", stand.url)
    assert caller.actor.id != (await open_to_others.sign_in())["admin"]["id"]
    again = token_of(stand, "reeve-admins", jti="another")
    await open_to_others.call("GET", "/samples/theme", token=again)
    assert open_to_others.watch.state["caller"].actor.id == caller.actor.id


async def test_a_write_of_an_outsider_is_recorded_in_their_name(open_to_others: Door, stand: IssuerStand) -> None:
    body = {"email": "new@example.com", "name": "New", "role": "viewer"}
    answer = await open_to_others.call("POST", "/users", token=token_of(stand, "reeve-admins"), json=body)
    assert answer.status_code == 201, answer.text
    (event,) = [
        event for event in await open_to_others.events("reeve.user.created.v1") if event.data["user_id"] == answer.json()["id"]
    ]  # fmt: skip
    assert event.data["origin"]["username"] == f"{stand.url}#alice"
    assert event.actorid == open_to_others.watch.state["caller"].actor.id


async def test_nobody_grants_more_than_their_token_gives(open_to_others: Door, stand: IssuerStand) -> None:
    await put_role(open_to_others, FRONT_DESK)
    body = {"email": "new@example.com", "name": "New", "role": "moderator"}
    answer = await open_to_others.call("POST", "/users", token=token_of(stand, "desk"), json=body)
    assert (answer.status_code, answer.json()["detail"]["error"]) == (403, "insufficient_role")
    answer = await open_to_others.call(
        "POST", "/users", token=token_of(stand, "desk"), json={**body, "role": "front_desk"}
    )
    assert answer.status_code == 201, answer.text


async def test_what_needs_a_fresh_proof_is_closed_to_tokens_of_others(open_to_others: Door, stand: IssuerStand) -> None:
    text = token_of(stand, "owners", auth_time=int(time.time()))
    body = {"email": "new@example.com", "name": "New", "role": "admin"}
    for method, path, said in (
        ("POST", "/users", body), ("PUT", "/roles/front_desk", FRONT_DESK), ("POST", "/auth/mfa/totp", None),
    ):  # fmt: skip
        answer = await open_to_others.call(method, path, token=text, json=said)
        assert (answer.status_code, answer.json()["detail"]["error"]) == (401, "step_up_required"), path


async def test_what_waits_for_an_approval_is_asked_for_in_a_session(open_to_others: Door, stand: IssuerStand) -> None:
    made = await open_to_others.make_user(role="super_admin", email="second@example.com")
    await open_to_others.run_sql("UPDATE users SET is_active = false WHERE id = :id", id=made["id"])
    path, owner = f"/users/{made['id']}", token_of(stand, "owners")
    for method, tail, body in (("PUT", "/status", {"is_active": True}), ("PATCH", "", {"email": "mine@example.com"})):
        answer = await open_to_others.call(method, path + tail, token=owner, json=body)
        assert (answer.status_code, answer.json()["detail"]["error"]) == (403, "session_required")
    assert await open_to_others.run_sql("SELECT 1 FROM approvals") == []


async def test_a_custom_role_gives_what_it_holds_now(open_to_others: Door, stand: IssuerStand) -> None:
    text = token_of(stand, "desk")
    answer = await open_to_others.call("GET", "/samples/theme", token=text)
    assert (answer.status_code, answer.json()["detail"]["error"]) == (403, "admin_permission_required")
    await put_role(open_to_others, FRONT_DESK)
    assert (await open_to_others.call("GET", "/samples/theme", token=text)).status_code == 200
    actor = open_to_others.watch.state["caller"].actor
    assert (actor.role, actor.level, actor.permissions) == ("front_desk", "write", set(FRONT_DESK["permissions"]))
    await put_role(open_to_others, {**FRONT_DESK, "permissions": ["users:write"]})
    assert (await open_to_others.call("GET", "/samples/theme", token=text)).status_code == 403
    answer = await open_to_others.call(
        "DELETE", "/roles/front_desk?confirm=true", token=await open_to_others.token_of("super_admin")
    )
    assert answer.status_code == 204, answer.text
    assert (await open_to_others.call("GET", "/auth/me", token=text)).status_code == 403


async def test_one_without_a_role_is_no_administrator(open_to_others: Door, stand: IssuerStand) -> None:
    for path in ("/auth/me", "/samples/theme"):
        answer = await open_to_others.call("GET", path, token=token_of(stand, "x"))
        assert (answer.status_code, answer.json()["detail"]["error"]) == (403, "admin_permission_required")


async def test_who_has_no_account_is_told_so_and_has_no_session_to_end(
    open_to_others: Door, stand: IssuerStand
) -> None:
    text = token_of(stand, "watchers")
    answer = await open_to_others.call("GET", "/auth/me", token=text)
    assert (answer.status_code, answer.json()["detail"]["error"]) == (404, "no_account")
    answer = await open_to_others.call("POST", "/auth/logout", token=text)
    assert (answer.status_code, answer.json()["detail"]["error"]) == (409, "no_session")


async def test_a_linked_account_acts_in_its_own_name_until_it_is_switched_off(
    open_to_others: Door, stand: IssuerStand
) -> None:
    await open_to_others.make_user(role="viewer", email="alice@example.com")
    user_id = await link(open_to_others, stand, "alice@example.com")
    text = token_of(stand, "reeve-admins")
    answer = await open_to_others.call("GET", "/auth/me", token=text)
    assert (answer.status_code, answer.json()["id"]) == (200, user_id)
    answer = await open_to_others.call("POST", "/auth/step-up", token=text, json={"password": PASSWORD})
    assert (answer.status_code, answer.json()["detail"]["error"]) == (409, "no_session")
    await open_to_others.run_sql("UPDATE users SET is_active = false WHERE id = :id", id=user_id)
    open_to_others.access.evict(user_id=user_id)
    answer = await open_to_others.call("GET", "/auth/me", token=text)
    assert (answer.status_code, answer.json()["detail"]["error"]) == (401, "invalid_token")


async def test_the_same_address_makes_nobody_the_same_person(open_to_others: Door, stand: IssuerStand) -> None:
    await open_to_others.make_user(role="super_admin", email="alice@example.com")
    text = token_of(stand, "watchers", email="alice@example.com", email_verified=True)
    await open_to_others.call("GET", "/samples/theme", token=text)
    assert open_to_others.watch.state["caller"].actor.role == "viewer"


@pytest.mark.parametrize(
    "changes", [{"aud": "other"}, {"iss": "https://other.example"}, {"exp": 1}, {"sub": None}, {"jti": None}], ids=repr
)  # fmt: skip
async def test_what_does_not_hold_is_refused_as_our_own_would_be(
    open_to_others: Door, stand: IssuerStand, changes: dict[str, Any]
) -> None:
    now = int(time.time())
    said = claims(**{"iss": stand.url, "exp": now + 300, "iat": now, "roles": ["owners"], **changes})
    answer = await open_to_others.call("GET", "/samples/theme", token=token(said))
    assert (answer.status_code, answer.json()["detail"]["error"]) == (401, "invalid_token")
    assert answer.headers["www-authenticate"] == 'Bearer error="invalid_token"'


async def test_an_issuer_that_cannot_be_asked_is_a_check_that_failed(open_to_others: Door, stand: IssuerStand) -> None:
    stand.pages.clear()
    answer = await open_to_others.call("GET", "/samples/theme", token=token_of(stand, "owners"))
    assert (answer.status_code, answer.json()["detail"]["error"]) == (500, "permission_check_failed")


async def test_our_own_tokens_hold_as_before_beside_trusted_issuers(open_to_others: Door, stand: IssuerStand) -> None:
    own = (await open_to_others.sign_in())["access_token"]
    assert (await open_to_others.call("GET", "/auth/me", token=own)).status_code == 200
    forged = open_to_others.access.tokens.for_session(
        user_id=new_id(), session_id=new_id(), scope="admin", signed_in_at=0, session_ends_at=2**40
    ).text
    assert (await open_to_others.call("GET", "/auth/me", token=forged)).status_code == 401
    assert stand.hits == {}
