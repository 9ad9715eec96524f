"""Every route against every kind of caller: exactly the declared ones get in."""

import pytest
from fastapi.routing import iter_route_contexts

from services.gateway.access.guard import Guard, Protected, Public, guard_of
from services.gateway.access.permissions import holds, level_of, permissions_of
from tests.integration.gateway.access.door import Door

ROLES = ("super_admin", "admin", "moderator", "viewer")
NOWHERE = "00000000-0000-7000-8000-000000000000"


def guarded_routes(door: Door) -> list[tuple[str, str, Guard]]:
    """Method, a concrete path and the guard of each route but the probes."""
    found: list[tuple[str, str, Guard]] = []
    for context in iter_route_contexts(door.app.routes):
        guard = guard_of(getattr(context, "dependant", None))
        if guard is None:
            continue
        path = (context.path or "").replace("{name}", "viewer").replace("{key}", "theme")
        for name in ("{user_id}", "{session_id}", "{id}"):
            path = path.replace(name, NOWHERE)
        found.extend((method, path, guard) for method in context.methods or ())
    return found


def needed_by_clients(guard: Guard) -> str | None:
    return guard.permission or (guard.clients_need if isinstance(guard, Protected) else None)


async def test_there_are_routes_to_try(door: Door) -> None:
    assert len(guarded_routes(door)) >= 19


@pytest.mark.parametrize("role", ROLES)
async def test_each_role_gets_in_exactly_where_its_permissions_let_it(door: Door, role: str) -> None:
    await door.token_of(role)
    for method, path, guard in guarded_routes(door):
        token = str(
            (await door.sign_in("first@example.com" if role == "super_admin" else f"{role}@example.com"))[
                "access_token"
            ]
        )
        answer = await door.call(method, path, token=token, json={} if method in ("POST", "PUT") else None)
        allowed = guard.permission is None or holds(permissions_of(role), guard.permission)
        assert (answer.status_code != 403) == allowed, f"{role} {method} {path}: {answer.status_code}"
        if not allowed:
            detail = answer.json()["detail"]
            assert set(detail) == {"error", "message", "required_permission", "user_permission"}
            assert detail["error"] == "admin_permission_required"
            assert (detail["required_permission"], detail["user_permission"]) == (
                guard.permission,
                level_of(role).value,
            )


@pytest.mark.parametrize("token", [None, "", "nonsense", "a.b.c"])
async def test_without_a_token_that_holds_only_public_routes_answer(door: Door, token: str | None) -> None:
    for method, path, guard in guarded_routes(door):
        answer = await door.call(method, path, token=token, json={"not": "read"} if method in ("POST", "PUT") else None)
        if isinstance(guard, Public):
            assert answer.status_code != 403
            continue
        assert answer.status_code == 401, f"{method} {path}"
        expected = "Bearer" if token is None else 'Bearer error="invalid_token"'
        assert answer.headers["www-authenticate"] == expected
        assert answer.json()["detail"]["error"] == ("not_authenticated" if token is None else "invalid_token")


async def test_a_client_gets_in_by_its_scopes_and_nowhere_else(door: Door) -> None:
    client_id, secret = await door.make_client(scopes=["users:read", "events:publish"])
    token = (await door.client_token(client_id, secret)).json()["access_token"]
    for method, path, guard in guarded_routes(door):
        if isinstance(guard, Public):
            continue
        answer = await door.call(method, path, token=token, json={} if method in ("POST", "PUT") else None)
        assert (answer.status_code != 403) == (needed_by_clients(guard) in ("users:read", "events:publish")), (
            f"{method} {path}"
        )
        if answer.status_code == 403:
            assert answer.json()["detail"]["user_permission"] == "none"
            assert answer.json()["detail"]["required_permission"] == (needed_by_clients(guard) or "admin")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("HEAD", "/users"),
        ("OPTIONS", "/users"),
        ("PATCH", "/users"),
        ("TRACE", "/users"),
        ("GET", "/users/"),
        ("GET", "//users"),
        ("GET", "/USERS"),
        ("GET", "/users/../users"),
        ("GET", "/users%2f"),
        ("POST", "/auth/login/"),
    ],
)
async def test_no_other_way_of_asking_reaches_a_route(door: Door, method: str, path: str) -> None:
    answer = await door.call(method, path)
    assert answer.status_code in (401, 404, 405)


async def test_the_exact_refusal(door: Door) -> None:
    answer = await door.call("PUT", "/samples/theme", token=await door.token_of("viewer"), json={"value": 1})
    assert (answer.status_code, answer.text) == (
        403,
        '{"detail":{"error":"admin_permission_required","message":"This operation requires admin privileges",'
        '"required_permission":"settings:write","user_permission":"read"}}',
    )
