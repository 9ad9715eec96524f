"""Denials that are only observed: let through and said, and never where secrets or rights are concerned."""

from collections.abc import AsyncIterator

import pytest
from prometheus_client import REGISTRY

from libs.common.database.engine import Database
from services.gateway.access.guard import Public
from services.gateway.access.permissions import GUARDS_SECRETS, holds, permissions_of
from tests.integration.gateway.access.door import Door, open_door
from tests.integration.gateway.access.test_matrix import guarded_routes


@pytest.fixture
async def observing(gateway_database: Database) -> AsyncIterator[Door]:
    """The routes of accounts, sessions, clients and roles, where denials are only observed."""
    async with open_door(gateway_database, enforcement="observe") as opened:
        yield opened


def observed(permission: str) -> float:
    return REGISTRY.get_sample_value("reeve_denials_observed_total", {"permission": permission}) or 0.0


async def test_a_denial_is_let_through_and_left_for_the_recorder(observing: Door) -> None:
    before = observed("users:read")
    answer = await observing.call("GET", "/users", token=await observing.token_of("moderator"))
    assert (answer.status_code, answer.json()["total"]) == (200, 2)
    state = observing.watch.state
    assert (state["observed"], state["caller"].observed) == ("users:read", "users:read")
    assert observed("users:read") == before + 1


async def test_what_is_allowed_is_not_observed(observing: Door) -> None:
    assert (await observing.call("GET", "/users", token=await observing.token_of("viewer"))).status_code == 200
    assert "observed" not in observing.watch.state


@pytest.mark.parametrize("role", ["admin", "moderator", "viewer"])
async def test_only_what_guards_no_secret_is_let_through(observing: Door, role: str) -> None:
    token = await observing.token_of(role)
    for method, path, guard in guarded_routes(observing):
        if isinstance(guard, Public) or path.endswith("/logout"):
            continue
        answer = await observing.call(method, path, token=token, json={} if method in ("POST", "PUT") else None)
        lacks = guard.permission is not None and not holds(permissions_of(role), guard.permission)
        is_refused = lacks and guard.permission in GUARDS_SECRETS
        assert (answer.status_code == 403) == is_refused, f"{role} {method} {path}: {answer.status_code}"
        assert ("observed" in observing.watch.state) == (lacks and not is_refused), f"{role} {method} {path}"


async def test_nobody_gets_in_without_a_token_or_as_a_client_without_the_scope(observing: Door) -> None:
    client_id, secret = await observing.make_client(scopes=["events:publish"])
    token = (await observing.client_token(client_id, secret)).json()["access_token"]
    for method, path, guard in guarded_routes(observing):
        if isinstance(guard, Public):
            continue
        assert (await observing.call(method, path, json={})).status_code == 401
        if guard.permission != "events:publish":
            assert (await observing.call(method, path, token=token, json={})).status_code == 403


async def test_rights_are_bounded_by_the_role_also_where_denials_are_observed(observing: Door) -> None:
    viewer = await observing.token_of("viewer")
    first = (await observing.call("GET", "/users?role=super_admin", token=viewer)).json()["users"][0]["id"]
    peer = (await observing.make_user(role="viewer", email="peer@example.com"))["id"]
    own = observing.access.tokens.verify(viewer).user_id
    for method, path, body, status in (
        ("PUT", f"/users/{peer}/role", {"role": "admin"}, 403),
        ("PUT", f"/users/{peer}/role", {"role": "viewer"}, 200),
        ("PUT", f"/users/{own}/role", {"role": "viewer"}, 409),
        ("PUT", f"/users/{first}/status", {"is_active": False}, 403),
        ("DELETE", f"/users/{first}?confirm=true", None, 403),
        ("PATCH", f"/users/{first}", {"email": "mine@example.com"}, 403),
        ("POST", "/users", {"email": "n@example.com", "name": "x", "role": "super_admin"}, 403),
        ("PATCH", f"/users/{peer}", {"name": "Peer"}, 200),
        # The guard asks for users:write and lets through; what the operation needs besides stays needed.
        ("POST", "/users/bulk", {"ids": [peer], "operation": "revoke_sessions"}, 403),
        ("POST", "/users/bulk", {"ids": [peer, first], "operation": "deactivate"}, 207),
    ):
        answer = await observing.call(method, path, token=viewer, json=body)
        assert answer.status_code == status, (method, path, answer.text)
    assert (await observing.call("GET", "/auth/me", token=viewer)).json()["role"] == "viewer"
    assert (await observing.call("GET", f"/users/{first}", token=viewer)).json()["is_active"] is True


async def test_without_the_switch_everything_is_enforced(door: Door) -> None:
    answer = await door.call("GET", "/users", token=await door.token_of("moderator"))
    assert (answer.status_code, answer.json()["detail"]["error"]) == (403, "admin_permission_required")
    assert "observed" not in door.watch.state
