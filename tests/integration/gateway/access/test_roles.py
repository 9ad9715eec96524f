"""Custom roles: made, held, changed and deleted, and never more than their editor holds."""

import asyncio
from typing import Any

import pytest

from libs.common.database.engine import Session
from libs.common.identity import Level
from services.gateway.access.permissions import PERMISSIONS, Role
from services.gateway.features.roles.models import MOST_ROLES
from tests.integration.gateway.access.door import Door, new_door_access

AUDITOR = {"permissions": ["audit:read", "settings:read"], "level": "read", "description": "Looks things up."}
KEEPER = ["roles:read", "roles:write", "users:read", "users:write", "audit:read"]


async def put_role(door: Door, name: str, token: str | None = None, **changes: Any) -> dict[str, Any]:
    """Make or change a role as the first super admin, or as whoever has `token`."""
    answer = await door.call(
        "PUT", f"/roles/{name}", token=token or await door.token_of("super_admin"), json={**AUDITOR, **changes}
    )
    assert answer.status_code in (200, 201), answer.text
    made: dict[str, Any] = answer.json()
    return made


async def holder_of(door: Door, role: str) -> tuple[str, str]:
    """Somebody with a role: their id and their access token."""
    made = await door.make_user(role=role, email=f"{role}@example.com")
    return made["id"], (await door.sign_in(f"{role}@example.com"))["access_token"]


async def test_a_role_is_made_seen_and_listed(door: Door) -> None:
    token = await door.token_of("super_admin")
    answer = await door.call("PUT", "/roles/auditor", token=token, json=AUDITOR)
    assert (answer.status_code, answer.headers["etag"]) == (201, '"1"')
    assert answer.headers["location"] == "/api/v1/admin/roles/auditor"
    assert door.watch.state["recorded"] is True
    body = answer.json()
    assert (body["permissions"], body["is_builtin"], body["version"]) == (["audit:read", "settings:read"], False, 1)
    seen = await door.call("GET", "/roles/auditor", token=await door.token_of("viewer"))
    assert (seen.json(), seen.headers["etag"]) == (body, '"1"')
    listed = (await door.call("GET", "/roles?limit=3&skip=2", token=token)).json()
    assert [role["name"] for role in listed["roles"]] == ["moderator", "viewer", "auditor"]
    assert listed["total"] == 5
    (event,) = await door.events("reeve.role.changed.v1")
    assert event.data["changes"] == {
        "level": {"new": "read"}, "permissions": {"new": ["audit:read", "settings:read"]},
        "description": {"new": "Looks things up."},
    }  # fmt: skip
    assert event.subject == "role/auditor"


async def test_cursors_walk_all_roles(door: Door) -> None:
    token = await door.token_of("super_admin")
    for number in range(3):
        await put_role(door, f"r{number}")
    seen: list[str] = []
    cursor = ""
    while True:
        body = (await door.call("GET", f"/roles?limit=2{cursor}", token=token)).json()
        seen += [role["name"] for role in body["roles"]]
        if body["next_cursor"] is None:
            break
        cursor = f"&cursor={body['next_cursor']}"
    assert seen == [*Role, "r0", "r1", "r2"]


async def test_a_changed_role_has_a_new_version_and_says_before_and_after(door: Door) -> None:
    await put_role(door, "auditor")
    token = await door.token_of("super_admin")
    changed = await door.call(
        "PUT", "/roles/auditor", token=token, json={**AUDITOR, "permissions": ["audit:*"]}, headers={"If-Match": '"1"'}
    )
    assert (changed.status_code, changed.json()["version"], changed.headers["etag"]) == (200, 2, '"2"')
    assert (await door.events("reeve.role.changed.v1"))[-1].data["changes"] == {
        "permissions": {"old": ["audit:read", "settings:read"], "new": ["audit:*"]}
    }
    same = await door.call("PUT", "/roles/auditor", token=token, json={**AUDITOR, "permissions": ["audit:*"]})
    assert (same.status_code, same.json()["version"]) == (200, 2)
    assert door.watch.state["recorded"] is False
    assert len(await door.events("reeve.role.changed.v1")) == 2


async def test_preconditions_of_a_role_hold(door: Door) -> None:
    token = await door.token_of("super_admin")
    await put_role(door, "auditor")
    for name, headers in (
        ("auditor", {"If-Match": '"2"'}),
        ("auditor", {"If-Match": 'W/"1"'}),
        ("auditor", {"If-None-Match": "*"}),
        ("unheard_of", {"If-Match": '"1"'}),
    ):
        answer = await door.call("PUT", f"/roles/{name}", token=token, json=AUDITOR, headers=headers)
        assert (answer.status_code, answer.json()["detail"]["error"]) == (412, "version_conflict"), (name, headers)
    answer = await door.call("DELETE", "/roles/auditor?confirm=true", token=token, headers={"If-Match": '"2"'})
    assert answer.status_code == 412
    known = await door.call("GET", "/roles/auditor", token=token, headers={"If-None-Match": '"1"'})
    assert (known.status_code, known.headers["etag"], known.content) == (304, '"1"', b"")


@pytest.mark.parametrize("name", list(Role))
async def test_built_in_roles_are_read_only(door: Door, name: str) -> None:
    token = await door.token_of("super_admin")
    for method, path, body in (
        ("PUT", f"/roles/{name}", AUDITOR),
        ("DELETE", f"/roles/{name}?confirm=true", None),
        ("DELETE", f"/roles/{name}", None),
    ):
        answer = await door.call(method, path, token=token, json=body)
        assert (answer.status_code, answer.json()["detail"]["error"]) == (409, "builtin_role")


@pytest.mark.parametrize(
    "changes",
    [
        {"permissions": ["*"]},
        {"permissions": ["settings:raed"]},
        {"permissions": ["*:read"]},
        {"permissions": "audit:read"},
        {"permissions": None},
        {"level": "owner"},
        {"description": "x" * 501},
        {"name": "other"},
        {"version": 1},
    ],
)
async def test_a_role_that_does_not_fit_is_refused(door: Door, changes: dict[str, Any]) -> None:
    answer = await door.call(
        "PUT", "/roles/auditor", token=await door.token_of("super_admin"), json={**AUDITOR, **changes}
    )
    assert (answer.status_code, answer.json()["detail"]["error"]) == (422, "validation_error")


@pytest.mark.parametrize("name", ["Auditor", "1st", "a-b", "a" * 65, "%20"])
async def test_a_name_that_does_not_fit_is_refused(door: Door, name: str) -> None:
    answer = await door.call("PUT", f"/roles/{name}", token=await door.token_of("super_admin"), json=AUDITOR)
    assert answer.status_code == 422


async def test_who_has_a_custom_role_may_do_exactly_what_it_says(door: Door) -> None:
    await put_role(door, "auditor")
    _, token = await holder_of(door, "auditor")
    me = (await door.call("GET", "/auth/me", token=token)).json()
    assert (me["role"], me["permission_level"], me["permissions"]) == (
        "auditor", "read", ["audit:read", "settings:read"],
    )  # fmt: skip
    assert (await door.call("GET", "/samples/theme", token=token)).status_code == 200
    answer = await door.call("PUT", "/samples/theme", token=token, json={"value": 1})
    assert (answer.status_code, answer.json()["detail"]["user_permission"]) == (403, "read")
    assert (await door.call("GET", "/users", token=token)).status_code == 403
    listed = await door.call("GET", "/users?role=auditor", token=await door.token_of("super_admin"))
    assert [(one["role"], one["permission_level"]) for one in listed.json()["users"]] == [("auditor", "read")]


async def test_a_wildcard_of_a_resource_holds_all_of_it_and_nothing_else(door: Door) -> None:
    await put_role(door, "keeper", permissions=["settings:*"])
    _, token = await holder_of(door, "keeper")
    assert (await door.call("PUT", "/samples/theme", token=token, json={"value": 1})).status_code == 200
    assert (await door.call("GET", "/users", token=token)).status_code == 403


async def test_a_changed_role_holds_at_once_and_everywhere(door: Door) -> None:
    await put_role(door, "auditor")
    _, token = await holder_of(door, "auditor")
    elsewhere = new_door_access(door.database)
    assert not (await elsewhere.authenticate(token)).may("settings:write")
    await put_role(door, "auditor", permissions=["settings:write"], level="write")
    assert (await door.call("PUT", "/samples/theme", token=token, json={"value": 1})).status_code == 200
    assert not (await elsewhere.authenticate(token)).may("settings:write")
    elsewhere.apply_event((await door.events("reeve.role.changed.v1"))[-1])
    actor = await elsewhere.authenticate(token)
    assert (actor.may("settings:write"), actor.may("audit:read"), actor.level) == (True, False, Level.WRITE)
    elsewhere.close()


async def test_a_role_is_given_only_by_who_covers_it(door: Door) -> None:
    await put_role(door, "auditor")
    await put_role(door, "revealer", permissions=["settings:reveal"])
    await put_role(door, "loud", permissions=["audit:read"], level="admin")
    await put_role(door, "keeper", permissions=KEEPER, level="write")
    victim = await door.make_user(role="viewer", email="v@example.com")
    beneath = await door.make_user(role="auditor", email="a@example.com")
    reader = await put_role(door, "reader", permissions=["audit:read"])
    low = await door.make_user(role=reader["name"], email="low@example.com")
    _, keeper = await holder_of(door, "keeper")
    admin = await door.token_of("admin")
    for token, user_id, role, status in (
        (admin, victim["id"], "auditor", 200),
        (admin, victim["id"], "revealer", 403),
        (keeper, low["id"], "loud", 403),  # nothing it lacks, yet a level above its own
        (keeper, low["id"], "auditor", 403),  # settings:read is not among what it holds
        (keeper, beneath["id"], "reader", 403),  # whoever holds settings:read is above it
        (keeper, low["id"], "reader", 200),
    ):
        answer = await door.call("PUT", f"/users/{user_id}/role", token=token, json={"role": role})
        assert answer.status_code == status, (role, answer.text)
        if status == 403:
            assert answer.json()["detail"]["error"] == "insufficient_role"
    for role, status in (("reader", 201), ("revealer", 403), ("moderator", 403)):
        body = {"email": f"{role}2@example.com", "name": "x", "role": role}
        assert (await door.call("POST", "/users", token=keeper, json=body)).status_code == status


async def test_a_role_that_is_not_there_is_422(door: Door) -> None:
    token = await door.token_of("super_admin")
    victim = await door.make_user(role="viewer", email="v@example.com")
    body = {"email": "new@example.com", "name": "x", "role": "owner"}
    for method, path, sent in (("POST", "/users", body), ("PUT", f"/users/{victim['id']}/role", {"role": "owner"})):
        answer = await door.call(method, path, token=token, json=sent)
        assert (answer.status_code, answer.json()["detail"]["error"]) == (422, "unknown_role")
    assert (await door.call("GET", "/users?role=owner", token=token)).json()["detail"]["error"] == "unknown_role"


async def test_nobody_writes_into_a_role_or_takes_out_of_it_what_they_lack(door: Door) -> None:
    await put_role(door, "keeper", permissions=KEEPER, level="write")
    await put_role(door, "above", permissions=["billing:approve"])
    await put_role(door, "below", permissions=["audit:read"])
    _, token = await holder_of(door, "keeper")
    for name, changes, status, error in (
        ("below", {"permissions": ["audit:read", "billing:approve"]}, 403, "insufficient_role"),
        ("below", {"permissions": ["audit:*"]}, 403, "insufficient_role"),
        ("below", {"permissions": ["audit:read"], "level": "admin"}, 403, "insufficient_role"),
        ("above", {"permissions": []}, 403, "insufficient_role"),
        ("fresh", {"permissions": ["billing:approve"]}, 403, "insufficient_role"),
        ("keeper", {"permissions": KEEPER[:2], "level": "write"}, 409, "self_change_refused"),
        ("below", {"permissions": ["users:read"], "level": "write"}, 200, None),
        ("fresh", {"permissions": ["users:read"]}, 201, None),
    ):
        answer = await door.call("PUT", f"/roles/{name}", token=token, json={**AUDITOR, **changes})
        assert (answer.status_code, answer.json().get("detail", {}).get("error")) == (status, error), (name, changes)
    answer = await door.call("DELETE", "/roles/above?confirm=true", token=token)
    assert (answer.status_code, answer.json()["detail"]["error"]) == (403, "insufficient_role")


async def test_an_admin_writes_no_roles(door: Door) -> None:
    answer = await door.call("PUT", "/roles/auditor", token=await door.token_of("admin"), json=AUDITOR)
    assert answer.json()["detail"]["required_permission"] == "roles:write"


async def test_a_role_in_use_is_not_deleted(door: Door) -> None:
    await put_role(door, "auditor")
    made = await door.make_user(role="auditor", email="a@example.com")
    token = await door.token_of("super_admin")
    await door.call("DELETE", f"/users/{made['id']}?confirm=true", token=token)
    refused = await door.call("DELETE", "/roles/auditor?confirm=true", token=token)
    assert (refused.status_code, refused.json()["detail"]["error"]) == (409, "role_in_use")
    await door.call("PUT", f"/users/{made['id']}/role", token=token, json={"role": "viewer"})
    unconfirmed = await door.call("DELETE", "/roles/auditor", token=token)
    assert (unconfirmed.status_code, unconfirmed.json()["detail"]["error"]) == (400, "confirmation_required")
    assert (await door.call("DELETE", "/roles/auditor?confirm=true", token=token)).status_code == 204
    (event,) = await door.events("reeve.role.deleted.v1")
    assert event.data["changes"]["permissions"] == {"old": ["audit:read", "settings:read"]}
    for method in ("GET", "DELETE"):
        gone = await door.call(
            method, "/roles/auditor?confirm=true" if method == "DELETE" else "/roles/auditor", token=token
        )
        assert (gone.status_code, gone.json()["detail"]["error"]) == (404, "role_not_found")


async def test_a_role_deleted_while_it_is_given_leaves_nobody_with_it(door: Door) -> None:
    await put_role(door, "auditor")
    token = await door.token_of("super_admin")
    made = [await door.make_user(role="viewer", email=f"v{number}@example.com") for number in range(6)]
    answers = await asyncio.gather(
        door.call("DELETE", "/roles/auditor?confirm=true", token=token),
        *(door.call("PUT", f"/users/{one['id']}/role", token=token, json={"role": "auditor"}) for one in made),
        door.call("POST", "/users", token=token, json={"email": "n@example.com", "name": "x", "role": "auditor"}),
    )
    assert {answer.status_code for answer in answers} <= {200, 201, 204, 409, 422}
    ((orphans,),) = await door.run_sql(
        "SELECT count(*) FROM users WHERE role = 'auditor' AND NOT EXISTS (SELECT FROM roles WHERE name = 'auditor')"
    )
    assert orphans == 0


async def test_there_is_a_most_of_roles(door: Door) -> None:
    await door.run_sql(
        "INSERT INTO roles (name, level, permissions) SELECT 'r' || n, 'read', '{}' FROM generate_series(1, :most) AS n",
        most=MOST_ROLES,
    )
    token = await door.token_of("super_admin")
    answer = await door.call("PUT", "/roles/auditor", token=token, json=AUDITOR)
    assert (answer.status_code, answer.json()["detail"]["error"]) == (409, "too_many_roles")
    assert (await door.call("PUT", "/roles/r7", token=token, json=AUDITOR)).status_code == 200


@pytest.mark.parametrize("bad", ["ARRAY['*']", "ARRAY['audit:read', '*']"])
async def test_not_even_the_database_takes_a_second_role_that_holds_everything(door: Door, bad: str) -> None:
    with pytest.raises(Exception, match="roles_permissions_check"):
        await door.run_sql(f"INSERT INTO roles (name, level, permissions) VALUES ('evil', 'admin', {bad})")
    for name in Role:
        with pytest.raises(Exception, match="roles_name_check"):
            await door.run_sql("INSERT INTO roles (name, level, permissions) VALUES (:name, 'admin', '{}')", name=name)


async def test_a_holder_of_a_role_without_a_row_may_do_nothing(door: Door) -> None:
    await put_role(door, "auditor")
    _, token = await holder_of(door, "auditor")
    async with door.database.transaction() as session:
        await _lose(session)
    door.access.evict()
    assert (await door.call("GET", "/auth/me", token=token)).json()["permissions"] == []
    answer = await door.call("GET", "/samples/theme", token=token)
    assert (answer.status_code, answer.json()["detail"]["user_permission"]) == (403, "none")


async def _lose(session: Session) -> None:
    await session.exec_driver_sql("DELETE FROM roles")


async def test_every_permission_can_be_in_a_custom_role(door: Door) -> None:
    made = await put_role(door, "nearly_all", permissions=sorted(PERMISSIONS), level="admin")
    assert made["permissions"] == sorted(PERMISSIONS)
    _, token = await holder_of(door, "nearly_all")
    first = (await door.call("GET", "/users?role=super_admin", token=token)).json()["users"][0]
    for method, path, body in (
        ("PUT", "/role", {"role": "viewer"}),
        ("PUT", "/status", {"is_active": False}),
        ("PATCH", "", {"name": "x"}),
    ):
        answer = await door.call(method, f"/users/{first['id']}{path}", token=token, json=body)
        assert (answer.status_code, answer.json()["detail"]["error"]) == (403, "insufficient_role")
