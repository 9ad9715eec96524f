"""Permissions asked for, granted for a time, and ended by themselves; and why somebody may or may not."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.gateway.access.permissions import PERMISSIONS
from services.gateway.features.access_requests import store
from services.gateway.features.access_requests.commands import note_ended
from services.gateway.features.access_requests.models import MOST_PENDING
from tests.integration.gateway.access.door import Door, new_door_access

NOWHERE = "00000000-0000-7000-8000-000000000000"
ASKED = {"permission": "settings:write", "reason": "the theme of the season"}


def within(**time: float) -> str:
    return (datetime.now(UTC) + timedelta(**time)).isoformat()


async def ask(door: Door, token: str, permission: str = "settings:write") -> str:
    """Ask for a permission; the id of the request."""
    body = {"permission": permission, "reason": "the theme of the season"}
    answer = await door.call("POST", "/access/requests", token=token, json=body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def approve(door: Door, request_id: str, *, until: str | None = None, token: str | None = None) -> Any:
    """Approve a request as the first super admin, or as whoever has `token`."""
    return await door.call(
        "POST", f"/access/requests/{request_id}/approve",
        token=token or await door.token_of("super_admin"), json={"until": until or within(hours=1)},
    )  # fmt: skip


async def write(door: Door, token: str) -> int:
    """Try what `settings:write` is needed for; the status."""
    return (await door.call("PUT", "/samples/theme", token=token, json={"value": 1})).status_code


async def test_what_is_granted_holds_at_once_and_every_step_is_an_event(door: Door) -> None:
    viewer = await door.token_of("viewer")
    elsewhere = new_door_access(door.database)
    assert not (await elsewhere.authenticate(viewer)).may("settings:write")
    assert await write(door, viewer) == 403
    asked = await door.call("POST", "/access/requests", token=viewer, json=ASKED)
    request_id = asked.json()["id"]
    assert asked.headers["location"] == f"/api/v1/admin/access/requests/{request_id}"
    assert (asked.json()["state"], asked.json()["until"], door.watch.state["recorded"]) == ("pending", None, True)
    assert await write(door, viewer) == 403
    until = within(hours=2)
    granted = await approve(door, request_id, until=until)
    assert (granted.status_code, granted.json()["state"]) == (200, "approved")
    assert await write(door, viewer) == 200
    me = (await door.call("GET", "/auth/me", token=viewer)).json()
    assert "settings:write" in me["permissions"]
    assert (me["role"], me["permission_level"]) == ("viewer", "read")
    (requested,) = await door.events("reeve.access.requested.v1")
    (told,) = await door.events("reeve.access.granted.v1")
    assert requested.data["reason"] == ASKED["reason"]
    assert told.data["changes"] == {"settings:write": {"old": False, "new": True}}
    assert (requested.subject, told.subject) == (f"user/{me['id']}", f"user/{me['id']}")
    assert datetime.fromisoformat(told.data["until"]) == datetime.fromisoformat(until)
    elsewhere.apply_event(told)
    assert (await elsewhere.authenticate(viewer)).may("settings:write")
    elsewhere.close()


async def test_a_grant_ends_on_time_though_cached_and_though_nobody_notes_it(door: Door) -> None:
    viewer = await door.token_of("viewer")
    until = datetime.now(UTC) + timedelta(seconds=2)
    await approve(door, await ask(door, viewer), until=until.isoformat())
    seen: list[tuple[datetime, int, datetime]] = []
    while not seen or seen[-1][0] < until + timedelta(seconds=0.3):
        asked_at = datetime.now(UTC)
        seen.append((asked_at, await write(door, viewer), datetime.now(UTC)))
    assert any(status == 200 for _, status, _ in seen)
    assert {status for asked_at, status, _ in seen if asked_at >= until} == {403}
    # A lapse may be noticed early by as much as the lookup took, and never late.
    assert {status for _, status, answered_at in seen if answered_at < until - timedelta(seconds=0.5)} == {200}
    ((state,),) = await door.run_sql("SELECT state FROM access_requests")
    assert state == "approved"
    (listed,) = (await door.call("GET", "/access/requests", token=viewer)).json()["requests"]
    assert (listed["state"], listed["end_reason"], listed["ended_at"]) == ("ended", "expired", listed["until"])
    assert "settings:write" not in (await door.call("GET", "/auth/me", token=viewer)).json()["permissions"]


async def test_the_end_is_told_once_however_many_instances_look(door: Door) -> None:
    viewer = await door.token_of("viewer")
    request_id = await ask(door, viewer)
    kept = await ask(door, viewer, "billing:write")
    await approve(door, request_id)
    await approve(door, kept)
    await door.run_sql("UPDATE access_requests SET until = now() - interval '1 second' WHERE id = :id", id=request_id)
    counts = await asyncio.gather(*(note_ended(door.database) for _ in range(8)))
    assert sum(counts) == 1
    assert await note_ended(door.database) == 0
    (event,) = await door.events("reeve.access.ended.v1")
    assert (event.data["request_id"], event.data["reason"], event.actortype) == (request_id, "expired", "system")
    seen = (await door.call("GET", f"/access/requests/{request_id}", token=viewer)).json()
    assert (seen["state"], seen["ended_at"], seen["end_reason"]) == ("ended", seen["until"], "expired")


async def test_an_instance_leaves_alone_what_another_is_just_telling_of(door: Door) -> None:
    request_id = await ask(door, await door.token_of("viewer"))
    await approve(door, request_id)
    await door.run_sql("UPDATE access_requests SET until = now() - interval '1 second'")
    async with door.database.transaction() as session:
        assert [one.id for one in await store.end_expired(session)] == [request_id]
        assert await note_ended(door.database) == 0


async def test_many_ended_grants_are_told_of_in_bounded_portions(door: Door) -> None:
    viewer = await door.make_user(role="viewer", email="v@example.com")
    await door.run_sql(
        "INSERT INTO access_requests (id, user_id, permission, reason, state, until, decided_by, decided_at)"
        " SELECT gen_random_uuid(), :id, 'billing:read', '', 'approved', now() - interval '1 day', 'x', now()"
        " FROM generate_series(1, :count)",
        id=viewer["id"], count=store.MOST_ENDED + 7,
    )  # fmt: skip
    assert [await note_ended(door.database) for _ in range(3)] == [store.MOST_ENDED, 7, 0]


async def test_nobody_decides_their_own_request(door: Door) -> None:
    await door.call(
        "PUT", "/roles/keeper", token=await door.token_of("super_admin"),
        json={"permissions": ["roles:write", "audit:read"], "level": "write"},
    )  # fmt: skip
    keeper = await door.token_of("keeper")
    request_id = await ask(door, keeper)
    for verb, body in (("approve", {"until": within(hours=1)}), ("reject", {"reason": "no"})):
        answer = await door.call("POST", f"/access/requests/{request_id}/{verb}", token=keeper, json=body)
        assert (answer.status_code, answer.json()["detail"]["error"]) == (403, "own_request")


async def test_nobody_grants_what_their_role_lacks_not_even_what_they_borrowed(door: Door) -> None:
    await door.call(
        "PUT", "/roles/keeper", token=await door.token_of("super_admin"),
        json={"permissions": ["roles:write", "audit:read"], "level": "write"},
    )  # fmt: skip
    keeper, moderator = await door.token_of("keeper"), await door.token_of("moderator")
    wanted = await ask(door, moderator)
    assert (await approve(door, wanted, token=keeper)).json()["detail"]["error"] == "insufficient_role"
    await approve(door, await ask(door, keeper))
    assert await write(door, keeper) == 200
    assert (await approve(door, wanted, token=keeper)).json()["detail"]["error"] == "insufficient_role"
    role = await door.call(
        "PUT", "/roles/sneaky", token=keeper, json={"permissions": ["settings:write"], "level": "read"}
    )
    assert role.json()["detail"]["error"] == "insufficient_role"
    readable = await ask(door, moderator, "audit:read")
    assert (await approve(door, readable, token=keeper)).status_code == 200
    assert (await door.call("POST", f"/access/requests/{wanted}/reject", token=keeper, json={"reason": "no"})).json()[
        "state"
    ] == "rejected"


async def test_borrowed_rights_to_write_roles_do_not_hand_on_more_than_the_role_has(door: Door) -> None:
    admin = await door.token_of("admin")
    await approve(door, await ask(door, admin, "roles:write"))
    answers = {
        permission: await door.call(
            "PUT", "/roles/made", token=admin, json={"permissions": [permission], "level": "read"}
        )
        for permission in ("roles:write", "settings:reveal", "settings:read")
    }
    assert {permission: answer.status_code for permission, answer in answers.items()} == {
        "roles:write": 403, "settings:reveal": 403, "settings:read": 201,
    }  # fmt: skip


async def test_only_one_decision_counts(door: Door) -> None:
    viewer = await door.token_of("viewer")
    request_id = await ask(door, viewer)
    token = await door.token_of("super_admin")
    answers = await asyncio.gather(
        *(approve(door, request_id) for _ in range(5)),
        *(
            door.call("POST", f"/access/requests/{request_id}/reject", token=token, json={"reason": "no"})
            for _ in range(5)
        ),
    )
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 9
    assert {one.json()["detail"]["error"] for one in answers if one.status_code == 409} == {"request_decided"}
    told = [*await door.events("reeve.access.granted.v1"), *await door.events("reeve.access.rejected.v1")]
    assert len(told) == 1


@pytest.mark.parametrize(
    "until",
    [
        "2020-01-01T00:00:00Z",
        "9999-12-31T23:59:59-12:00",
        "0001-01-01T00:00:00+14:00",
        {"days": 30, "seconds": 60},
        {"seconds": -1},
    ],
)
async def test_a_grant_ends_within_thirty_days(door: Door, until: Any) -> None:
    moment = within(**until) if isinstance(until, dict) else until
    answer = await approve(door, await ask(door, await door.token_of("viewer")), until=moment)
    assert (answer.status_code, answer.json()["detail"]["error"]) == (422, "invalid_until")
    assert [error["loc"] for error in answer.json()["detail"]["errors"]] == [["body", "until"]]


@pytest.mark.parametrize("until", [None, "soon", "2026-01-01T00:00:00", 17, True])
async def test_a_moment_that_is_none_is_refused(door: Door, until: Any) -> None:
    request_id = await ask(door, await door.token_of("viewer"))
    answer = await door.call(
        "POST",
        f"/access/requests/{request_id}/approve",
        token=await door.token_of("super_admin"),
        json={"until": until},
    )
    assert answer.status_code == 422


async def test_thirty_days_are_allowed(door: Door) -> None:
    request_id = await ask(door, await door.token_of("viewer"))
    assert (await approve(door, request_id, until=within(days=29, hours=23))).status_code == 200


async def test_what_makes_no_sense_is_not_asked_for(door: Door) -> None:
    viewer = await door.token_of("viewer")
    for body, status, error in (
        ({**ASKED, "permission": "settings:read"}, 409, "already_granted"),
        ({**ASKED, "permission": "settings:raed"}, 422, "validation_error"),
        ({**ASKED, "permission": "*"}, 422, "validation_error"),
        ({**ASKED, "reason": ""}, 422, "validation_error"),
        ({**ASKED, "user_id": NOWHERE}, 422, "validation_error"),
        (ASKED, 201, None),
        (ASKED, 409, "request_exists"),
    ):
        answer = await door.call("POST", "/access/requests", token=viewer, json=body)
        assert (answer.status_code, answer.json().get("detail", {}).get("error")) == (status, error), body


async def test_one_person_has_a_most_of_waiting_requests(door: Door) -> None:
    token = await door.token_of("moderator")
    answers = []
    for permission in PERMISSIONS:
        body = {"permission": permission, "reason": "x"}
        answers.append(await door.call("POST", "/access/requests", token=token, json=body))
    assert sum(answer.status_code == 201 for answer in answers) == MOST_PENDING
    refused = {one.json()["detail"]["error"] for one in answers if one.status_code == 409}
    assert refused == {"already_granted", "too_many_requests"}


async def test_a_request_is_seen_by_its_asker_and_by_those_who_decide(door: Door) -> None:
    viewer, admin, first = [await door.token_of(role) for role in ("viewer", "admin", "super_admin")]
    request_id = await ask(door, viewer)
    other = await ask(door, admin, "users:delete")
    viewer_id = (await door.call("GET", "/auth/me", token=viewer)).json()["id"]
    for token, seen in ((viewer, [request_id]), (admin, [other]), (first, [other, request_id])):
        body = (await door.call("GET", "/access/requests", token=token)).json()
        assert ([one["id"] for one in body["requests"]], body["total"]) == (seen, len(seen))
        one = await door.call("GET", f"/access/requests/{request_id}", token=token)
        assert one.status_code == (200 if request_id in seen else 404)
        filtered = (await door.call("GET", f"/access/requests?user_id={viewer_id}", token=token)).json()
        assert [one["id"] for one in filtered["requests"]] == (seen if token != first else [request_id])
    assert (await door.call("DELETE", f"/access/requests/{request_id}", token=admin)).status_code == 404
    missing = await door.call("GET", f"/access/requests/{NOWHERE}", token=first)
    assert missing.json()["detail"]["error"] == "access_request_not_found"


async def test_requests_are_filtered_by_the_state_they_are_in_now(door: Door) -> None:
    viewer, first = await door.token_of("viewer"), await door.token_of("super_admin")
    made = [await ask(door, viewer, one) for one in ("settings:write", "billing:write", "users:write", "library:write")]
    for request_id in made[:2]:
        await approve(door, request_id)
    await door.run_sql("UPDATE access_requests SET until = now() - interval '1 second' WHERE id = :id", id=made[0])
    await door.call("POST", f"/access/requests/{made[2]}/reject", token=first, json={"reason": "no"})

    async def found(query: str) -> list[str]:
        return [
            one["id"] for one in (await door.call("GET", f"/access/requests{query}", token=first)).json()["requests"]
        ]

    assert await found("?state=ended") == [made[0]]
    assert await found("?state=approved") == [made[1]]
    assert await found("?state=rejected") == [made[2]]
    assert await found("?state=pending&permission=library:write") == [made[3]]
    assert await found("?limit=2") == [made[3], made[2]]
    body = (await door.call("GET", "/access/requests?limit=3", token=first)).json()
    rest = await door.call("GET", f"/access/requests?limit=3&cursor={body['next_cursor']}", token=first)
    assert [one["id"] for one in rest.json()["requests"]] == [made[0]]
    stolen = await door.call("GET", f"/access/requests?limit=3&cursor={body['next_cursor']}", token=viewer)
    assert (stolen.status_code, stolen.json()["detail"]["error"]) == (422, "invalid_cursor")


async def test_a_request_is_withdrawn_and_a_grant_given_back_by_its_holder(door: Door) -> None:
    viewer = await door.token_of("viewer")
    first = await ask(door, viewer)
    assert (await door.call("DELETE", f"/access/requests/{first}", token=viewer)).json()["state"] == "withdrawn"
    assert (await approve(door, first)).json()["detail"] == {
        "error": "request_decided", "message": f"access request {first} is withdrawn", "state": "withdrawn",
    }  # fmt: skip
    second = await ask(door, viewer)
    await approve(door, second)
    assert await write(door, viewer) == 200
    ended = await door.call("DELETE", f"/access/requests/{second}?confirm=true", token=viewer)
    assert (ended.json()["state"], ended.json()["end_reason"]) == ("ended", "given_back")
    assert await write(door, viewer) == 403
    again = await door.call("DELETE", f"/access/requests/{second}", token=viewer)
    assert (again.status_code, again.json()["detail"]["error"]) == (409, "request_decided")
    assert [one.data["reason"] for one in await door.events("reeve.access.ended.v1")] == ["given_back"]
    assert len(await door.events("reeve.access.withdrawn.v1")) == 1


async def test_a_grant_is_revoked_by_those_who_decide(door: Door) -> None:
    viewer, first = await door.token_of("viewer"), await door.token_of("super_admin")
    request_id = await ask(door, viewer)
    waiting = await door.call("DELETE", f"/access/requests/{request_id}", token=first)
    assert (waiting.status_code, waiting.json()["detail"]["error"]) == (409, "request_pending")
    await approve(door, request_id)
    assert (await door.call("DELETE", f"/access/requests/{request_id}", token=first)).json()["end_reason"] == "revoked"
    assert await write(door, viewer) == 403


@pytest.mark.parametrize(
    ("path", "body", "reason"),
    [("role", {"role": "moderator"}, "role_changed"), ("status", {"is_active": False}, "deactivated")],
)
async def test_a_grant_ends_with_what_its_holder_was(door: Door, path: str, body: dict[str, Any], reason: str) -> None:
    viewer, first = await door.token_of("viewer"), await door.token_of("super_admin")
    user_id = (await door.call("GET", "/auth/me", token=viewer)).json()["id"]
    await approve(door, await ask(door, viewer))
    assert (await door.call("PUT", f"/users/{user_id}/{path}", token=first, json=body)).status_code == 200
    (event,) = await door.events("reeve.access.ended.v1")
    assert event.data["reason"] == reason
    await door.call("PUT", f"/users/{user_id}/status", token=first, json={"is_active": True})
    await door.call("PUT", f"/users/{user_id}/role", token=first, json={"role": "viewer"})
    again = (await door.sign_in("viewer@example.com"))["access_token"]
    assert await write(door, again) == 403


async def test_nothing_is_granted_to_an_account_that_is_switched_off(door: Door) -> None:
    viewer, first = await door.token_of("viewer"), await door.token_of("super_admin")
    user_id = (await door.call("GET", "/auth/me", token=viewer)).json()["id"]
    request_id = await ask(door, viewer)
    await door.call("PUT", f"/users/{user_id}/status", token=first, json={"is_active": False})
    answer = await approve(door, request_id)
    assert (answer.status_code, answer.json()["detail"]["error"]) == (409, "user_inactive")


async def explained(door: Door, token: str, query: str) -> dict[str, Any]:
    answer = await door.call("GET", f"/access/explain?{query}", token=token)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_a_denial_says_what_is_missing_and_who_could_grant_it(door: Door) -> None:
    viewer = await door.token_of("viewer")
    found = await explained(door, viewer, "permission=settings:write")
    assert (found["granted"], found["by"]) == (False, [])
    assert [(one["kind"], one["role"], one["permission"]) for one in found["missing"]] == [
        ("role", "viewer", "settings:write")
    ]
    assert [(one["name"], one["role"]) for one in found["who_can_grant"]] == [("Administrator", "super_admin")]
    assert "@" not in str(found["who_can_grant"])


async def test_who_could_grant_is_who_could(door: Door) -> None:
    first = await door.token_of("super_admin")
    for name, permissions in {
        "keeper": ["roles:write", "settings:*"],
        "half": ["roles:write", "audit:read"],
        "other": ["settings:write"],
    }.items():
        await door.call("PUT", f"/roles/{name}", token=first, json={"permissions": permissions, "level": "admin"})
        await door.make_user(role=name, email=f"{name}@example.com")
    gone = await door.make_user(role="keeper", email="gone@example.com")
    await door.call("PUT", f"/users/{gone['id']}/status", token=first, json={"is_active": False})
    found = await explained(door, await door.token_of("viewer"), "permission=settings:write")
    assert {one["role"] for one in found["who_can_grant"]} == {"super_admin", "keeper"}
    assert gone["id"] not in {one["user_id"] for one in found["who_can_grant"]}


async def test_a_grant_says_by_what(door: Door) -> None:
    viewer, first = await door.token_of("viewer"), await door.token_of("super_admin")
    request_id = await ask(door, viewer)
    until = (await approve(door, request_id)).json()["until"]
    viewer_id = (await door.call("GET", "/auth/me", token=viewer)).json()["id"]
    found = await explained(door, first, f"permission=settings:write&user_id={viewer_id}")
    (by,) = found["by"]
    assert (found["granted"], by["kind"], by["request_id"], by["until"]) == (True, "grant", request_id, until)
    assert found["who_can_grant"] == []
    read = await explained(door, viewer, "permission=settings:read")
    assert [(one["kind"], one["role"], one["permission"]) for one in read["by"]] == [
        ("role", "viewer", "settings:read")
    ]
    mine = await explained(door, first, "permission=billing:approve")
    assert [one["permission"] for one in mine["by"]] == ["billing:approve", "*"]


async def test_others_are_explained_to_those_who_may_read_roles(door: Door) -> None:
    viewer = (await door.call("GET", "/auth/me", token=await door.token_of("viewer"))).json()["id"]
    moderator = await door.token_of("moderator")
    answer = await door.call("GET", f"/access/explain?permission=settings:write&user_id={viewer}", token=moderator)
    assert (answer.status_code, answer.json()["detail"]["required_permission"]) == (403, "roles:read")
    assert door.watch.state["target"] == f"user/{viewer}"
    own = (await door.call("GET", "/auth/me", token=moderator)).json()["id"]
    assert (await explained(door, moderator, f"permission=alerts:write&user_id={own}"))["granted"]
    unknown = await door.call(
        "GET", f"/access/explain?permission=audit:read&user_id={NOWHERE}", token=await door.token_of("viewer")
    )
    assert (unknown.status_code, unknown.json()["detail"]["error"]) == (404, "user_not_found")
    for query in ("", "?permission=settings:raed", "?permission=*"):
        answer = await door.call("GET", f"/access/explain{query}", token=moderator)
        assert answer.status_code == 422


async def test_the_explanation_agrees_with_the_guard_for_every_permission(door: Door) -> None:
    for role in ("super_admin", "admin", "moderator", "viewer"):
        token = await door.token_of(role)
        actor = await door.access.authenticate(token)
        for permission in PERMISSIONS:
            found = await explained(door, token, f"permission={permission}")
            assert found["granted"] is actor.may(permission), (role, permission)


async def test_an_account_that_is_switched_off_is_explained_as_such(door: Door) -> None:
    made = await door.make_user(role="viewer", email="v@example.com")
    first = await door.token_of("super_admin")
    await door.call("PUT", f"/users/{made['id']}/status", token=first, json={"is_active": False})
    found = await explained(door, first, f"permission=settings:read&user_id={made['id']}")
    assert (found["granted"], [one["kind"] for one in found["missing"]]) == (False, ["account"])
    assert found["who_can_grant"] == []
