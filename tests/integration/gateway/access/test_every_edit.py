"""All four built-in roles, and every edit that each of them tries on each of the others and on itself.

What may come of it is written down here from the contract, and not taken from the code: a viewer and a moderator edit
nobody, an admin edits whom they cover and gives what they hold, a super admin everybody, and nobody themselves.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from services.gateway.access.permissions import permissions_of
from services.gateway.access.sessions import AccessControl
from tests.integration.gateway.access.door import SUPER_ADMIN, Door
from tests.integration.gateway.access.test_proof import CHALLENGE, aged

RANK = {"super_admin": 3, "admin": 2, "moderator": 1, "viewer": 1}
ROLES = tuple(RANK)
EDITORS = ("super_admin", "admin")
FRESH_SECONDS = 300
GIVES_POWER = ("super_admin", "admin")


@dataclass(frozen=True, slots=True)
class House:
    """One account of each role beside the two super admins who keep the house, and the editor's own."""

    door: Door
    editor: str
    own_id: str
    token: str
    others: Mapping[str, str]
    """Ids by role."""

    async def state(self) -> dict[str, tuple[str, bool, bool]]:
        """Role, activity and existence of every account."""
        rows = await self.door.run_sql("SELECT id, role, is_active, erased_at IS NULL AS is_there FROM users")
        return {str(row.id): (row.role, row.is_active, row.is_there) for row in rows}

    async def restore(self, before: Mapping[str, tuple[str, bool, bool]]) -> None:
        """Make the accounts what they were, without anybody's leave."""
        for user_id, (role, is_active, _) in before.items():
            await self.door.run_sql(
                "UPDATE users SET role = :role, is_active = :active WHERE id = :id AND (role, is_active) <> (:role, :active)",
                id=user_id, role=role, active=is_active,
            )  # fmt: skip
        await self.door.run_sql("UPDATE approvals SET state = 'expired', inputs = NULL WHERE state = 'pending'")
        access: AccessControl = self.door.access
        access.evict()

    async def edit(
        self, method: str, path: str, body: Any = None, *, token: str | None = None
    ) -> tuple[int, str | None]:
        """One edit: its status and error."""
        answer = await self.door.call(method, path, token=token or self.token, json=body)
        detail = answer.json().get("detail") if answer.content else None
        return answer.status_code, detail["error"] if isinstance(detail, dict) else None


async def a_house(door: Door, editor: str) -> House:
    await door.token_of("super_admin")
    await door.make_user(role="super_admin", email="second@example.com")
    own = await door.make_user(role=editor, email="editor@example.com")
    token = (await door.sign_in("editor@example.com"))["access_token"]
    others = {role: (await door.make_user(role=role, email=f"{role}@example.com"))["id"] for role in ROLES}
    return House(door, editor, own["id"], token, others)


def expected_of_role(editor: str, target: str, wanted: str) -> int:
    """What a change of another's role is answered with."""
    if editor not in EDITORS or max(RANK[target], RANK[wanted]) > RANK[editor]:
        return 403
    return 202 if wanted == "super_admin" != target else 200


@pytest.mark.parametrize("editor", ROLES)
async def test_no_edit_of_anothers_role_gives_more_than_its_editor_holds(door: Door, editor: str) -> None:
    house = await a_house(door, editor)
    before = await house.state()
    for target, user_id in house.others.items():
        for wanted in ROLES:
            status, _ = await house.edit("PUT", f"/users/{user_id}/role", {"role": wanted})
            assert status == expected_of_role(editor, target, wanted), (editor, target, wanted)
            after = await house.state()
            changed = {one: after[one] for one in after if after[one] != before[one]}
            given = {user_id: (wanted, True, True)} if status == 200 and wanted != target else {}
            assert changed == given, (editor, target, wanted)
            for role, _, _ in changed.values():
                assert permissions_of(role) <= permissions_of(editor)
            await house.restore(before)


@pytest.mark.parametrize("editor", ROLES)
async def test_no_edit_ever_changes_its_editor(door: Door, editor: str) -> None:
    house = await a_house(door, editor)
    own, before = house.own_id, await house.state()
    edits: list[tuple[str, str, Any]] = [
        *[("PUT", f"/users/{own}/role", {"role": wanted}) for wanted in ROLES if wanted != editor],
        *[("POST", "/users/bulk", {"ids": [own], "operation": "set_role", "role": wanted}) for wanted in ROLES if wanted != editor],
        ("PUT", f"/users/{own}/status", {"is_active": False, "reason": "me"}),
        ("DELETE", f"/users/{own}?confirm=true", None),
        ("PUT", f"/roles/{editor}", {"permissions": ["settings:read"], "level": "read"}),
        ("DELETE", f"/roles/{editor}", None),
    ]  # fmt: skip
    for method, path, body in edits:
        answer = await house.door.call(method, path, token=house.token, json=body)
        if answer.status_code == 207:
            (one,) = answer.json()["results"]
            assert one["status"] in (403, 409), (path, body, one)
        else:
            assert answer.status_code in (403, 409), (path, body, answer.text)
            if editor == "super_admin" and path.startswith("/users"):
                assert answer.json()["detail"]["error"] == "self_change_refused"
        assert await house.state() == before, (method, path, body)


@pytest.mark.parametrize("editor", ROLES)
async def test_no_new_account_and_no_list_of_accounts_holds_more_than_its_editor(door: Door, editor: str) -> None:
    house = await a_house(door, editor)
    before = await house.state()
    for number, wanted in enumerate(ROLES):
        body = {"email": f"new{number}@example.com", "name": "New", "role": wanted}
        status, _ = await house.edit("POST", "/users", body)
        may = editor in EDITORS and RANK[wanted] <= RANK[editor]
        assert status == ((202 if wanted == "super_admin" else 201) if may else 403), (editor, wanted)
        ids = list(house.others.values())
        answer = await door.call(
            "POST", "/users/bulk", token=house.token, json={"ids": ids, "operation": "set_role", "role": wanted}
        )
        if editor not in EDITORS:
            assert answer.status_code == 403
        else:
            found = {one["id"]: one["status"] for one in answer.json()["results"]}
            assert found == {
                user_id: expected_of_role(editor, target, wanted) for target, user_id in house.others.items()
            }, (editor, wanted)
        for user_id, (role, is_active, _) in (await house.state()).items():
            if user_id not in before or (role, is_active) != before[user_id][:2]:
                assert permissions_of(role) <= permissions_of(editor), (editor, wanted, role)
                assert role != "super_admin", "nobody becomes a super admin by one decision"
        await house.restore(before)


@pytest.mark.parametrize("editor", ROLES)
async def test_only_whom_one_covers_is_switched_off_deleted_or_switched_on(door: Door, editor: str) -> None:
    house = await a_house(door, editor)
    before = await house.state()
    for target, user_id in house.others.items():
        may = editor in EDITORS and RANK[target] <= RANK[editor]
        off = await house.edit("PUT", f"/users/{user_id}/status", {"is_active": False, "reason": "left"})
        assert off[0] == (200 if may else 403), (editor, target)
        on = await house.edit("PUT", f"/users/{user_id}/status", {"is_active": True})
        awaited = 202 if target == "super_admin" else 200
        assert on[0] == (awaited if may else 403), (editor, target)
        await house.restore(before)
        gone = await house.edit("DELETE", f"/users/{user_id}?confirm=true")
        assert gone[0] == (204 if editor == "super_admin" else 403), (editor, target)
        assert (await house.state())[user_id][1] is (editor != "super_admin")
        await house.restore(before)


@pytest.mark.parametrize("editor", EDITORS)
@pytest.mark.parametrize("wanted", ROLES)
async def test_giving_power_takes_a_proof_of_the_last_five_minutes_whoever_gives_it(
    door: Door, editor: str, wanted: str
) -> None:
    house = await a_house(door, editor)
    before = await house.state()
    stale = aged(door, house.token, FRESH_SECONDS + 1)
    target = house.others["viewer" if wanted != "viewer" else "moderator"]
    edits: list[tuple[str, str, Any]] = [
        ("PUT", f"/users/{target}/role", {"role": wanted}),
        ("POST", "/users/bulk", {"ids": [target], "operation": "set_role", "role": wanted}),
        ("POST", "/users", {"email": "new@example.com", "name": "New", "role": wanted}),
    ]
    for method, path, body in edits:
        answer = await door.call(method, path, token=stale, json=body)
        if wanted in GIVES_POWER:
            assert (answer.status_code, answer.headers["www-authenticate"]) == (401, CHALLENGE), path
            assert await house.state() == before
            just = aged(door, house.token, FRESH_SECONDS - 5)
            assert (await door.call(method, path, token=just, json=body)).status_code != 401
            await house.restore(before)
            before = await house.state()
        else:
            assert answer.status_code in (200, 201, 207), answer.text


async def test_a_super_admin_is_made_by_two_of_them_and_by_no_one_alone(door: Door) -> None:
    house = await a_house(door, "super_admin")
    user_id = house.others["admin"]
    asked = (await door.call("PUT", f"/users/{user_id}/role", token=house.token, json={"role": "super_admin"})).json()
    target = (await door.sign_in("admin@example.com"))["access_token"]
    for token in (house.token, target):
        assert (await house.edit("POST", f"/approvals/{asked['id']}/approve", token=token))[0] in (403, 409)
        assert (await house.state())[user_id][0] == "admin"
    other = (await door.sign_in(SUPER_ADMIN))["access_token"]
    assert (await house.edit("POST", f"/approvals/{asked['id']}/approve", token=other))[0] == 200
    assert (await house.state())[user_id][0] == "super_admin"
