"""One operation on many accounts: each by its own rules, all with one parent in the log."""

from collections import Counter
from typing import Any

import pytest

from libs.common.events.envelope import Event
from services.gateway.features.user_bulk.models import MOST_IDS
from tests.integration.gateway.access.door import Door

NOWHERE = "00000000-0000-7000-8000-000000000000"


async def users(door: Door, *roles: str) -> list[str]:
    """New accounts with these roles: their ids."""
    return [
        (await door.make_user(role=role, email=f"{role}{number}@example.com"))["id"]
        for number, role in enumerate(roles)
    ]


async def bulk(door: Door, operation: str, ids: list[str], *, role: str = "super_admin", **more: Any) -> Any:
    body = {"ids": ids, "operation": operation, **({"role": more.pop("to")} if "to" in more else {}), **more}
    return await door.call("POST", "/users/bulk", token=await door.token_of(role), json=body)


def by_parent(events: list[Event], parent: Event) -> dict[str, list[str]]:
    """The actions that one event caused, by subject."""
    found: dict[str, list[str]] = {}
    for event in events:
        if event.causationid == parent.id:
            found.setdefault(str(event.subject), []).append(event.type)
    return found


async def test_each_account_has_its_outcome_and_its_entry_under_one_parent(door: Door) -> None:
    one, two, there = await users(door, "viewer", "viewer", "moderator")
    me = (await door.call("GET", "/auth/me", token=await door.token_of("super_admin"))).json()["id"]
    answer = await bulk(door, "set_role", [one, NOWHERE, there, me, two], to="moderator")
    assert answer.status_code == 207
    body = answer.json()
    assert [(item["id"], item["status"], item["outcome"], item["error"]) for item in body["results"]] == [
        (one, 200, "changed", None), (NOWHERE, 404, "refused", "user_not_found"), (there, 200, "unchanged", None),
        (me, 409, "refused", "last_super_admin"), (two, 200, "changed", None),
    ]  # fmt: skip
    counts = {"requested": 5, "changed": 2, "unchanged": 1, "refused": 2}
    assert {name: body[name] for name in counts} == counts
    (parent,) = await door.events("reeve.users.bulk_changed.v1")
    assert {name: parent.data[name] for name in counts} == counts
    assert (parent.data["operation"], parent.data["role"]) == ("set_role", "moderator")
    assert by_parent(await door.events(), parent) == {
        f"user/{one}": ["reeve.user.role_changed.v1"], f"user/{two}": ["reeve.user.role_changed.v1"],
        f"user/{NOWHERE}": ["reeve.request.recorded.v1"], f"user/{there}": ["reeve.request.recorded.v1"],
        f"user/{me}": ["reeve.request.recorded.v1"],
    }  # fmt: skip
    recorded = {event.subject: event.data for event in await door.events("reeve.request.recorded.v1")}
    assert [(recorded[f"user/{one}"]["outcome"], recorded[f"user/{one}"].get("error")) for one in (NOWHERE, there, me)] == [
        ("failure", "user_not_found"), ("success", None), ("failure", "last_super_admin"),
    ]  # fmt: skip
    assert door.watch.state["recorded"] is True


async def test_what_is_above_the_caller_is_refused_and_the_rest_is_done(door: Door) -> None:
    low, high = await users(door, "viewer", "super_admin")
    answer = await bulk(door, "deactivate", [high, low], role="admin", reason="the team is closed")
    assert [(item["status"], item["error"]) for item in answer.json()["results"]] == [
        (403, "insufficient_role"), (200, None),
    ]  # fmt: skip
    (changed,) = await door.events("reeve.user.status_changed.v1")
    assert (changed.subject, changed.data["reason"]) == (f"user/{low}", "the team is closed")
    denied = [one for one in await door.events("reeve.request.recorded.v1") if one.subject == f"user/{high}"]
    assert [one.data["outcome"] for one in denied] == ["denied"]


async def test_accounts_are_switched_off_with_their_sessions_and_on_again(door: Door) -> None:
    ids = await users(door, "viewer", "viewer")
    token = (await door.sign_in("viewer0@example.com"))["access_token"]
    assert (await door.call("GET", "/auth/me", token=token)).status_code == 200
    assert (await bulk(door, "deactivate", ids)).json()["changed"] == 2
    assert (await door.call("GET", "/auth/me", token=token)).status_code == 401
    assert (await bulk(door, "deactivate", ids)).json()["unchanged"] == 2
    assert (await bulk(door, "activate", ids)).json()["changed"] == 2
    assert (await door.call("GET", "/auth/me", token=token)).status_code == 401
    await door.sign_in("viewer0@example.com")


async def test_sessions_are_revoked_by_those_who_may_revoke_sessions(door: Door) -> None:
    ids = await users(door, "viewer", "viewer")
    tokens = [(await door.sign_in("viewer0@example.com"))["access_token"] for _ in range(2)]
    refused = await bulk(door, "revoke_sessions", ids, role="admin")
    assert (refused.status_code, refused.json()["detail"]["required_permission"]) == (403, "sessions:revoke")
    answer = await bulk(door, "revoke_sessions", ids)
    assert [item["outcome"] for item in answer.json()["results"]] == ["changed", "unchanged"]
    for token in tokens:
        assert (await door.call("GET", "/auth/me", token=token)).status_code == 401
    (revoked,) = await door.events("reeve.user.sessions_revoked.v1")
    assert (revoked.subject, revoked.data["count"]) == (f"user/{ids[0]}", 2)
    await door.sign_in("viewer0@example.com")


async def test_not_even_many_at_once_take_the_last_super_admin(door: Door) -> None:
    ids = await users(door, "super_admin", "super_admin")
    me = (await door.call("GET", "/auth/me", token=await door.token_of("super_admin"))).json()["id"]
    answer = await bulk(door, "set_role", [*ids, me], to="viewer")
    assert [item["error"] for item in answer.json()["results"]] == [None, None, "last_super_admin"]


async def test_a_borrowed_permission_ends_with_the_role_under_the_same_parent(door: Door) -> None:
    viewer = await door.token_of("viewer")
    user_id = (await door.call("GET", "/auth/me", token=viewer)).json()["id"]
    await door.run_sql(
        "INSERT INTO access_requests (id, user_id, permission, reason, state, until, decided_by, decided_at)"
        " VALUES (gen_random_uuid(), :id, 'billing:read', '', 'approved', now() + interval '1 day', 'x', now())",
        id=user_id,
    )
    await bulk(door, "set_role", [user_id], to="moderator")
    (parent,) = await door.events("reeve.users.bulk_changed.v1")
    assert Counter(by_parent(await door.events(), parent)[f"user/{user_id}"]) == Counter(
        ["reeve.user.role_changed.v1", "reeve.access.ended.v1"]
    )


@pytest.mark.parametrize(
    "body",
    [
        {"ids": [], "operation": "activate"},
        {"ids": [NOWHERE, NOWHERE], "operation": "activate"},
        {"ids": [f"{NOWHERE[:-1]}a", f"{NOWHERE[:-1]}A"], "operation": "activate"},
        {"ids": ["x"], "operation": "activate"},
        {"ids": [NOWHERE], "operation": "delete"},
        {"ids": [NOWHERE], "operation": "set_role"},
        {"ids": [NOWHERE], "operation": "activate", "role": "viewer"},
        {"ids": [NOWHERE], "operation": "set_role", "role": "viewer", "reason": "x"},
        {"ids": [NOWHERE], "operation": "revoke_sessions", "reason": "x"},
        {"ids": [f"00000000-0000-7000-8000-{number:012}" for number in range(MOST_IDS + 1)], "operation": "activate"},
    ],
)
async def test_a_body_that_does_not_fit_is_refused_whole(door: Door, body: dict[str, Any]) -> None:
    answer = await door.call("POST", "/users/bulk", token=await door.token_of("super_admin"), json=body)
    assert (answer.status_code, answer.json()["detail"]["error"]) == (422, "validation_error")
    assert await door.events("reeve.users.bulk_changed.v1") == []


async def test_a_role_that_is_not_there_refuses_the_whole(door: Door) -> None:
    answer = await bulk(door, "set_role", await users(door, "viewer"), to="owner")
    assert (answer.status_code, answer.json()["detail"]["error"]) == (422, "unknown_role")
    assert await door.events("reeve.users.bulk_changed.v1") == []


async def test_five_hundred_accounts_are_changed_at_once(door: Door) -> None:
    await door.run_sql(
        "INSERT INTO users (id, email, name, role) SELECT gen_random_uuid(), 'u' || n || '@example.com', 'x', 'viewer'"
        " FROM generate_series(1, :most) AS n",
        most=MOST_IDS,
    )
    ids = [str(row[0]) for row in await door.run_sql("SELECT id FROM users WHERE email LIKE 'u%'")]
    answer = await bulk(door, "set_role", ids, to="moderator")
    assert (answer.status_code, answer.json()["changed"]) == (207, MOST_IDS)
    assert len(await door.events("reeve.user.role_changed.v1")) == MOST_IDS
