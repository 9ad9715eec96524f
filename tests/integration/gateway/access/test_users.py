"""Accounts and roles, made and changed by those who may."""

import asyncio
from typing import Any

import pytest

from tests.integration.gateway.access.door import Door, new_door_access

NOWHERE = "00000000-0000-7000-8000-000000000000"


async def test_a_new_account_is_answered_whole_and_without_password(door: Door) -> None:
    made = await door.make_user(role="viewer", email="New@Example.com")
    assert made["email"] == "new@example.com"
    assert (made["role"], made["permission_level"], made["is_active"], made["version"]) == ("viewer", "read", True, 1)
    assert made["awaits_activation"] is False
    assert "password" not in str(made).lower()
    seen = await door.call("GET", f"/users/{made['id']}", token=await door.token_of("viewer"))
    assert seen.json() == made
    assert seen.headers["etag"] == '"1"'


async def test_a_new_account_leaves_one_event_without_personal_fields(door: Door) -> None:
    made = await door.make_user(role="viewer", email="new@example.com")
    (event,) = [one for one in await door.events("reeve.user.created.v1") if one.subject == f"user/{made['id']}"]
    assert event.data["changes"]["role"] == {"new": "viewer"}
    assert event.data["changes"]["email"] == {"new": "[redacted]"}
    assert event.data["origin"]["username"] == "first@example.com"
    assert "new@example.com" not in str(event.data)
    assert door.watch.state["recorded"] is True


async def test_an_account_without_password_awaits_its_activation(door: Door) -> None:
    made = await door.make_user(role="viewer", email="new@example.com", password=None)
    assert made["awaits_activation"] is True


async def test_an_address_has_one_account(door: Door) -> None:
    await door.make_user(role="viewer", email="new@example.com")
    again = await door.call(
        "POST",
        "/users",
        token=await door.token_of("super_admin"),
        json={"email": "NEW@example.com", "name": "x", "role": "viewer"},
    )
    assert (again.status_code, again.json()["detail"]["error"]) == (409, "user_exists")


@pytest.mark.parametrize(
    "extra",
    [
        {"id": NOWHERE},
        {"is_active": False},
        {"version": 7},
        {"created_by": "me"},
        {"permissions": ["*"]},
        {"password_hash": "x"},
        {"permission_level": "admin"},
        {"tenant": "x"},
    ],
)
async def test_members_that_are_not_the_callers_to_set_are_refused(door: Door, extra: dict[str, Any]) -> None:
    body = {"email": "new@example.com", "name": "x", "role": "viewer", **extra}
    token = await door.token_of("super_admin")
    answer = await door.call("POST", "/users", token=token, json=body)
    assert (answer.status_code, answer.json()["detail"]["error"]) == (422, "validation_error")
    assert (await door.call("GET", "/users", token=token)).json()["total"] == 1
    viewer = await door.make_user(role="viewer", email="v@example.com")
    answer = await door.call("PUT", f"/users/{viewer['id']}/role", token=token, json={"role": "viewer", **extra})
    assert answer.status_code == 422
    answer = await door.call("POST", "/auth/login", json={"email": "a@b.c", "password": "x", **extra})
    assert answer.status_code == 422


@pytest.mark.parametrize(
    "changes",
    [
        {"email": "no address"},
        {"email": "a@b\n"},
        {"email": "ünïcode@example.com"},
        {"email": f"{'x' * 250}@example.com"},
        {"email": 7},
        {"name": ""},
        {"name": "x" * 201},
        {"name": "two\nlines"},
        {"role": "owner"},
        {"role": "*"},
        {"role": None},
        {"password": "short"},
        {"password": "canary" * 100},
    ],
)
async def test_fields_that_do_not_fit_are_refused_and_not_repeated(door: Door, changes: dict[str, Any]) -> None:
    body = {"email": "new@example.com", "name": "x", "role": "viewer", **changes}
    answer = await door.call("POST", "/users", token=await door.token_of("super_admin"), json=body)
    assert answer.status_code == 422
    assert "canary" not in answer.text
    assert [error["loc"][:2] for error in answer.json()["detail"]["errors"]] == [["body", next(iter(changes))]]


@pytest.mark.parametrize(
    ("role", "given", "status"), [("admin", "super_admin", 403), ("admin", "admin", 201), ("admin", "viewer", 201)]
)
async def test_nobody_makes_an_account_above_their_own(door: Door, role: str, given: str, status: int) -> None:
    body = {"email": "new@example.com", "name": "x", "role": given}
    answer = await door.call("POST", "/users", token=await door.token_of(role), json=body)
    assert answer.status_code == status
    if status == 403:
        assert answer.json()["detail"]["error"] == "insufficient_role"


async def test_a_role_change_holds_from_the_next_request_on(door: Door) -> None:
    viewer = await door.make_user(role="viewer", email="v@example.com")
    token = (await door.sign_in("v@example.com"))["access_token"]
    elsewhere = new_door_access(door.database)
    assert (await elsewhere.authenticate(token)).role == "viewer"
    assert (await door.call("PUT", "/samples/theme", token=token, json={"value": 1})).status_code == 403
    changed = await door.call(
        "PUT", f"/users/{viewer['id']}/role", token=await door.token_of("super_admin"), json={"role": "admin"}
    )
    assert (changed.status_code, changed.json()["role"], changed.json()["version"]) == (200, "admin", 2)
    assert changed.headers["etag"] == '"2"'
    assert (await door.call("PUT", "/samples/theme", token=token, json={"value": 1})).status_code == 200
    (event,) = await door.events("reeve.user.role_changed.v1")
    assert event.data["changes"] == {"role": {"old": "viewer", "new": "admin"}}
    assert (await elsewhere.authenticate(token)).role == "viewer"
    elsewhere.apply_event(event)
    assert (await elsewhere.authenticate(token)).role == "admin"
    elsewhere.close()


async def test_a_demotion_takes_away_at_once(door: Door) -> None:
    token = await door.token_of("admin")
    assert (await door.call("PUT", "/samples/theme", token=token, json={"value": 1})).status_code == 200
    user_id = door.access.tokens.verify(token).user_id
    await door.call(
        "PUT", f"/users/{user_id}/role", token=await door.token_of("super_admin"), json={"role": "moderator"}
    )
    assert (await door.call("PUT", "/samples/theme", token=token, json={"value": 1})).status_code == 403


async def test_rights_are_read_again_when_they_are_used_to_give(door: Door) -> None:
    token = await door.token_of("admin")
    victim = await door.make_user(role="viewer", email="v@example.com")
    assert (await door.call("GET", "/auth/me", token=token)).status_code == 200
    await door.run_sql("UPDATE users SET role = 'viewer' WHERE email = 'admin@example.com'")
    for method, path, body in (
        ("PUT", f"/users/{victim['id']}/role", {"role": "viewer"}),
        ("POST", "/users", {"email": "n@example.com", "name": "x", "role": "viewer"}),
    ):
        answer = await door.call(method, path, token=token, json=body)
        assert (answer.status_code, answer.json()["detail"]["error"]) == (403, "admin_permission_required")


async def test_the_same_role_again_changes_nothing(door: Door) -> None:
    viewer = await door.make_user(role="viewer", email="v@example.com")
    answer = await door.call(
        "PUT", f"/users/{viewer['id']}/role", token=await door.token_of("super_admin"), json={"role": "viewer"}
    )
    assert (answer.status_code, answer.json()["version"]) == (200, 1)
    assert await door.events("reeve.user.role_changed.v1") == []
    assert door.watch.state["recorded"] is False


@pytest.mark.parametrize(("tag", "status"), [('"1"', 200), ("*", 200), ('"2"', 412), ('W/"1"', 412), ("nonsense", 412)])
async def test_if_match_must_hold(door: Door, tag: str, status: int) -> None:
    viewer = await door.make_user(role="viewer", email="v@example.com")
    answer = await door.call(
        "PUT",
        f"/users/{viewer['id']}/role",
        token=await door.token_of("super_admin"),
        json={"role": "moderator"},
        headers={"If-Match": tag},
    )
    assert answer.status_code == status
    if status == 412:
        assert answer.json()["detail"]["error"] == "version_conflict"


async def test_the_only_super_admin_cannot_step_down(door: Door) -> None:
    token = await door.token_of("super_admin")
    me = (await door.call("GET", "/auth/me", token=token)).json()
    answer = await door.call("PUT", f"/users/{me['id']}/role", token=token, json={"role": "viewer"})
    assert (answer.status_code, answer.json()["detail"]["error"]) == (409, "last_super_admin")
    await door.make_user(role="super_admin", email="second@example.com")
    answer = await door.call("PUT", f"/users/{me['id']}/role", token=token, json={"role": "viewer"})
    assert (answer.status_code, answer.json()["detail"]["error"]) == (409, "self_change_refused")


async def test_an_admin_can_neither_touch_nor_make_super_admins(door: Door) -> None:
    token = await door.token_of("admin")
    first = (await door.call("GET", "/users?role=super_admin", token=token)).json()["users"][0]
    viewer = await door.make_user(role="viewer", email="v@example.com")
    for user_id, role in ((first["id"], "viewer"), (viewer["id"], "super_admin")):
        answer = await door.call("PUT", f"/users/{user_id}/role", token=token, json={"role": role})
        assert (answer.status_code, answer.json()["detail"]["error"]) == (403, "insufficient_role")


async def test_fifty_parallel_demotions_leave_a_super_admin(door: Door) -> None:
    await door.token_of("super_admin")
    admins = [await door.make_user(role="super_admin", email=f"s{number}@example.com") for number in range(8)]
    tokens = [(await door.sign_in(one["email"]))["access_token"] for one in admins]
    me = (await door.call("GET", "/auth/me", token=await door.token_of("super_admin"))).json()
    everybody = [*admins, me]
    attempts = [(tokens[number % 8], everybody[(number * 5 + 1) % 9]["id"]) for number in range(50)]
    answers = await asyncio.gather(
        *(
            door.call("PUT", f"/users/{user_id}/role", token=token, json={"role": "viewer"})
            for token, user_id in attempts
        )
    )
    assert {answer.status_code for answer in answers} <= {200, 401, 403, 409, 503}
    assert any(answer.status_code == 200 for answer in answers)
    (left,) = await door.run_sql("SELECT count(*) FROM users WHERE role = 'super_admin' AND is_active")
    assert left[0] >= 1
    changed = [one for one in answers if one.status_code == 200 and one.json()["version"] == 2]
    assert len(await door.events("reeve.user.role_changed.v1")) == len({one.json()["id"] for one in changed})


@pytest.mark.parametrize("user_id", [NOWHERE])
async def test_an_account_that_is_not_there_is_404(door: Door, user_id: str) -> None:
    token = await door.token_of("super_admin")
    for method, path, body in (
        ("GET", f"/users/{user_id}", None),
        ("PUT", f"/users/{user_id}/role", {"role": "viewer"}),
    ):
        answer = await door.call(method, path, token=token, json=body)
        assert (answer.status_code, answer.json()["detail"]["error"]) == (404, "user_not_found")
    assert (await door.call("GET", "/users/nonsense", token=token)).status_code == 422


async def test_accounts_are_listed_newest_first_and_filtered(door: Door) -> None:
    token = await door.token_of("super_admin")
    for number in range(3):
        await door.make_user(role="viewer", email=f"v{number}@example.com")
    await door.make_user(role="moderator", email="50%_off@example.com")

    async def emails(query: str) -> list[str]:
        answer = await door.call("GET", f"/users{query}", token=token)
        assert answer.status_code == 200, answer.text
        return [user["email"].partition("@")[0] for user in answer.json()["users"]]

    assert await emails("") == ["50%_off", "v2", "v1", "v0", "first"]
    assert await emails("?role=viewer") == ["v2", "v1", "v0"]
    assert await emails("?search=V1") == ["v1"]
    assert await emails("?q=V1") == ["v1"]
    assert await emails("?search=%25") == ["50%_off"]
    assert await emails("?search=_") == ["50%_off"]
    assert await emails("?is_active=false") == []
    assert await emails("?role=viewer&limit=1&skip=1") == ["v1"]
    assert (await door.call("GET", "/users?role=owner", token=token)).status_code == 422
    assert (await door.call("GET", "/users?limit=201", token=token)).status_code == 422
    assert (await door.call("GET", "/users?surprise=1", token=token)).status_code == 422


async def test_cursors_walk_the_whole_list_and_hold_for_it_alone(door: Door) -> None:
    token = await door.token_of("super_admin")
    for number in range(7):
        await door.make_user(role="viewer", email=f"v{number}@example.com")
    seen: list[str] = []
    path = "/users?role=viewer&limit=3"
    cursor = None
    while True:
        body = (await door.call("GET", path + (f"&cursor={cursor}" if cursor else ""), token=token)).json()
        seen += [user["email"] for user in body["users"]]
        assert (body["total"], body["total_is_exact"], body["limit"]) == (7, True, 3)
        if body["next_cursor"] is None:
            break
        cursor = body["next_cursor"]
    assert seen == [f"v{number}@example.com" for number in reversed(range(7))]
    for other in (
        f"/users?limit=3&cursor={cursor}",
        f"/users?role=admin&cursor={cursor}",
        f"{path}&cursor={cursor}x",
        f"/clients?cursor={cursor}",
    ):
        answer = await door.call("GET", other, token=token)
        assert (answer.status_code, answer.json()["detail"]["error"]) == (422, "invalid_cursor")


async def test_roles_are_told_with_what_they_hold(door: Door) -> None:
    body = (await door.call("GET", "/roles", token=await door.token_of("viewer"))).json()
    assert [(role["name"], role["level"]) for role in body["roles"]] == [
        ("super_admin", "admin"), ("admin", "admin"), ("moderator", "write"), ("viewer", "read"),
    ]  # fmt: skip
    one = await door.call("GET", "/roles/moderator", token=await door.token_of("viewer"))
    assert "alerts:write" in one.json()["permissions"]
    missing = await door.call("GET", "/roles/owner", token=await door.token_of("viewer"))
    assert (missing.status_code, missing.json()["detail"]["error"]) == (404, "role_not_found")
