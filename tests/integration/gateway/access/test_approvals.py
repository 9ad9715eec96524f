"""A change that waits for a second pair of eyes: who sees it, who decides it, how it ends; every step is told."""

import asyncio

import pytest

from libs.common.database.engine import Database
from services.gateway.features.approvals import store
from services.gateway.features.approvals.commands import note_expired
from services.gateway.features.approvals.models import MOST_PENDING, State
from tests.integration.gateway.access.door import open_door
from tests.integration.gateway.access.quorum import SECOND, Quorum, error_of, promote
from tests.integration.gateway.access.test_proof import aged

NOWHERE = "00000000-0000-7000-8000-000000000000"


async def test_a_promotion_waits_and_is_made_when_another_super_admin_approves_it(quorum: Quorum) -> None:
    door = quorum.door
    token = (await door.sign_in("target@example.com"))["access_token"]
    answer = await promote(door, quorum.first, quorum.target["id"])
    asked = answer.json()
    assert (answer.status_code, answer.headers["location"]) == (202, f"/api/v1/admin/approvals/{asked['id']}")
    assert (asked["kind"], asked["permission"], asked["state"]) == ("user_role", "users:write", "pending")
    assert asked["target"] == f"user/{quorum.target['id']}"
    assert asked["changes"] == {"role": {"old": "admin", "new": "super_admin"}}
    assert door.watch.state["recorded"] is True
    assert await quorum.role() == "admin"
    assert await door.events("reeve.user.role_changed.v1") == []
    (requested,) = await door.events("reeve.approval.requested.v1")
    assert (requested.subject, requested.severity) == (f"approval/{asked['id']}", "warning")
    assert requested.data["proposed"] == asked["changes"]

    approved = await quorum.decide(asked["id"])
    assert (approved.status_code, approved.json()["state"]) == (200, "approved")
    assert door.watch.state["recorded"] is True
    assert (await door.call("GET", "/auth/me", token=token)).json()["role"] == "super_admin"
    (granted,) = await door.events("reeve.approval.granted.v1")
    (changed,) = await door.events("reeve.user.role_changed.v1")
    first, second = requested.actorid, granted.actorid
    assert first != second == changed.actorid == approved.json()["decided_by"]
    assert granted.data["asked_by"] == first == asked["asked_by"]
    assert (changed.data["approval"], changed.data["approval_id"]) == ("granted", asked["id"])
    assert (changed.causationid, changed.severity) == (granted.id, "warning")


async def test_the_same_asked_again_is_the_one_that_waits_and_another_is_refused(quorum: Quorum) -> None:
    door, asked = quorum.door, await quorum.ask()
    assert (await quorum.ask())["id"] == asked["id"]
    assert door.watch.state["recorded"] is False
    refused = await promote(door, quorum.second, quorum.target["id"])
    assert (error_of(refused), refused.json()["detail"]["approval_id"]) == ((409, "approval_exists"), asked["id"])
    assert len(await door.events("reeve.approval.requested.v1")) == 1
    path = f"/users/{quorum.target['id']}"
    assert (await door.call("PATCH", path, token=quorum.first, json={"name": "Another"})).status_code == 200
    assert error_of(await promote(door, quorum.first, quorum.target["id"])) == (409, "approval_exists")


async def test_one_administrator_has_a_most_of_waiting_changes(quorum: Quorum) -> None:
    bodies = [{"email": f"n{one}@example.com", "name": "x", "role": "super_admin"} for one in range(MOST_PENDING + 1)]
    answers = [await quorum.door.call("POST", "/users", token=quorum.first, json=body) for body in bodies]
    assert [answer.status_code for answer in answers] == [202] * MOST_PENDING + [409]
    assert answers[-1].json()["detail"]["error"] == "too_many_approvals"
    await quorum.door.run_sql("UPDATE approvals SET expires_at = now() WHERE id = :id", id=answers[0].json()["id"])
    assert (await quorum.door.call("POST", "/users", token=quorum.first, json=bodies[-1])).status_code == 202
    assert (await quorum.door.call("POST", "/users", token=quorum.second, json=bodies[-1])).status_code == 202


async def test_nobody_decides_their_own(quorum: Quorum) -> None:
    asked = await quorum.ask()
    for verb in ("approve", "reject"):
        assert error_of(await quorum.decide(asked["id"], verb, quorum.first)) == (403, "own_request")
    with pytest.raises(Exception, match="approvals_check"):
        await quorum.door.run_sql("UPDATE approvals SET state = 'approved', inputs = NULL, decided_by = asked_by")
    assert (await quorum.state(asked["id"]))["state"] == "pending"


async def test_only_who_holds_the_permission_sees_it_and_only_who_might_make_the_change_decides(quorum: Quorum) -> None:
    door, asked = quorum.door, await quorum.ask()
    admin = await door.token_of("admin")
    assert (await door.call("GET", f"/approvals/{asked['id']}", token=admin)).json()["id"] == asked["id"]
    for verb in ("approve", "reject"):
        assert error_of(await quorum.decide(asked["id"], verb, admin)) == (403, "insufficient_role")
    client_id, secret = await door.make_client(scopes=["users:write"])
    client = (await door.client_token(client_id, secret)).json()["access_token"]
    for role in ("viewer", "moderator"):
        token = await door.token_of(role)
        assert (await door.call("GET", "/approvals", token=token)).json()["total"] == 0
        for verb in ("approve", "reject"):
            hidden = await quorum.decide(asked["id"], verb, token)
            missing = await quorum.decide(NOWHERE, verb, token)
            assert error_of(hidden) == error_of(missing) == (404, "approval_not_found")
        for method in ("GET", "DELETE"):
            hidden = await door.call(method, f"/approvals/{asked['id']}", token=token)
            assert error_of(hidden) == (404, "approval_not_found")
    for verb in ("approve", "reject"):
        assert error_of(await quorum.decide(asked["id"], verb, client)) == (403, "admin_permission_required")
    assert (await quorum.state(asked["id"]))["state"] == "pending"


async def test_an_asker_sees_their_own_also_when_they_may_no_longer_ask(quorum: Quorum) -> None:
    asked = await quorum.ask()
    await quorum.door.run_sql("UPDATE users SET role = 'viewer' WHERE email = 'first@example.com'")
    quorum.door.access.evict()
    assert (await quorum.state(asked["id"]))["state"] == "pending"
    assert (await quorum.door.call("GET", "/approvals", token=quorum.first)).json()["total"] == 1
    assert (await quorum.door.call("DELETE", f"/approvals/{asked['id']}", token=quorum.first)).status_code == 200


async def test_nobody_approves_their_own_promotion(quorum: Quorum) -> None:
    """Not even who came to be a super admin on another way meanwhile."""
    asked = await quorum.ask()
    await quorum.door.run_sql("UPDATE users SET role = 'super_admin' WHERE email = 'target@example.com'")
    token = (await quorum.door.sign_in("target@example.com"))["access_token"]
    assert error_of(await quorum.decide(asked["id"], token=token)) == (409, "self_change_refused")
    assert (await quorum.state(asked["id"]))["state"] == "pending"


async def test_an_approver_is_judged_as_they_are_now(quorum: Quorum) -> None:
    asked = await quorum.ask()
    assert (await quorum.door.call("GET", "/auth/me", token=quorum.second)).status_code == 200
    await quorum.door.run_sql("UPDATE users SET role = 'admin' WHERE email = :email", email=SECOND)
    assert error_of(await quorum.decide(asked["id"])) == (403, "insufficient_role")
    await quorum.door.run_sql("UPDATE users SET role = 'viewer' WHERE email = :email", email=SECOND)
    assert (await quorum.decide(asked["id"])).status_code in (403, 404)
    assert (await quorum.state(asked["id"]))["state"] == "pending"


async def test_approving_needs_a_fresh_proof_and_rejecting_none(quorum: Quorum) -> None:
    asked = await quorum.ask()
    stale = aged(quorum.door, quorum.second, 301)
    refused = await quorum.decide(asked["id"], token=stale)
    assert (error_of(refused), refused.json()["detail"]["max_age"]) == ((401, "step_up_required"), 300)
    assert await quorum.role() == "admin"
    body = {"ids": [quorum.target["id"]], "operation": "set_role", "role": "super_admin"}
    assert error_of(await quorum.door.call("POST", "/users/bulk", token=stale, json=body)) == (401, "step_up_required")
    viewer = aged(quorum.door, await quorum.door.token_of("viewer"), 301)
    assert error_of(await quorum.decide(asked["id"], token=viewer)) == (404, "approval_not_found")
    assert (await quorum.decide(asked["id"], "reject", stale)).status_code == 200


async def test_what_was_rejected_is_not_made_and_its_reason_is_read(quorum: Quorum) -> None:
    asked = await quorum.ask()
    rejected = (await quorum.decide(asked["id"], "reject")).json()
    assert (rejected["state"], rejected["reason"]) == ("rejected", "two of us are enough")
    assert (await quorum.state(asked["id"]))["reason"] == "two of us are enough"
    (event,) = await quorum.door.events("reeve.approval.rejected.v1")
    assert (event.data["reason"], event.actorid) == ("two of us are enough", rejected["decided_by"])
    second = await quorum.decide(asked["id"])
    assert (error_of(second), second.json()["detail"]["state"]) == ((409, "approval_decided"), "rejected")
    assert await quorum.role() == "admin"
    assert (await quorum.ask())["id"] != asked["id"]


async def test_an_asker_takes_it_back_and_nobody_else_does(quorum: Quorum) -> None:
    asked = await quorum.ask()
    path = f"/approvals/{asked['id']}"
    assert error_of(await quorum.door.call("DELETE", path, token=quorum.second)) == (409, "approval_pending")
    withdrawn = await quorum.door.call("DELETE", path, token=quorum.first)
    assert (withdrawn.status_code, withdrawn.json()["state"]) == (200, "withdrawn")
    (event,) = await quorum.door.events("reeve.approval.withdrawn.v1")
    assert event.data["approval_id"] == asked["id"]
    assert error_of(await quorum.decide(asked["id"])) == (409, "approval_decided")
    assert error_of(await quorum.door.call("DELETE", path, token=quorum.first)) == (409, "approval_decided")


async def test_of_many_decisions_at_once_one_counts(quorum: Quorum) -> None:
    door, asked = quorum.door, await quorum.ask()
    third = await door.make_user(role="super_admin", email="third@example.com")
    tokens = [quorum.second, (await door.sign_in(third["email"]))["access_token"]]
    await door.run_sql("DELETE FROM outbox")
    decided = [quorum.decide(asked["id"], verb, token) for verb in ("approve", "reject") * 3 for token in tokens]
    taken = [door.call("DELETE", f"/approvals/{asked['id']}", token=quorum.first) for _ in range(2)]
    answers = await asyncio.gather(*decided, *taken)
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 13
    (won,) = [answer.json() for answer in answers if answer.status_code == 200]
    ends = [event for event in await door.events() if event.type.startswith("reeve.approval.")]
    assert len(ends) == 1
    assert (await quorum.role() == "super_admin") is (won["state"] == "approved")
    assert len(await door.events("reeve.user.role_changed.v1")) == (won["state"] == "approved")


@pytest.mark.parametrize(
    ("meanwhile", "cause"),
    [
        ("UPDATE users SET role = 'viewer' WHERE email = 'first@example.com'", "asker_not_allowed"),
        ("UPDATE users SET role = 'admin' WHERE email = 'first@example.com'", "insufficient_role"),
        ("UPDATE users SET is_active = false WHERE email = 'first@example.com'", "asker_not_allowed"),
        ("UPDATE users SET version = version + 1 WHERE email = 'target@example.com'", "version_conflict"),
        ("UPDATE users SET erased_at = now() WHERE email = 'target@example.com'", "user_erased"),
    ],
)
async def test_what_changed_meanwhile_fails_the_change_for_good(quorum: Quorum, meanwhile: str, cause: str) -> None:
    door, asked = quorum.door, await quorum.ask()
    await door.run_sql(meanwhile)
    await door.run_sql("DELETE FROM outbox")
    failed = await quorum.decide(asked["id"])
    assert (error_of(failed), failed.json()["detail"]["cause"]) == ((409, "approval_failed"), cause)
    (event,) = [one for one in await door.events() if one.type != "reeve.session.started.v1"]
    assert (event.type, event.data["failure"], event.data["outcome"]) == ("reeve.approval.failed.v1", cause, "failure")
    (role,) = await door.run_sql("SELECT role FROM users WHERE email = 'target@example.com'")
    seen = (await door.call("GET", f"/approvals/{asked['id']}", token=quorum.second)).json()
    assert (role.role, seen["state"], seen["failure"]) == ("admin", "failed", cause)
    assert error_of(await quorum.decide(asked["id"])) == (409, "approval_decided")


async def test_a_target_that_was_deleted_meanwhile_is_promoted_by_nobody(quorum: Quorum) -> None:
    asked = await quorum.ask()
    path = f"/users/{quorum.target['id']}?confirm=true&erase=true"
    assert (await quorum.door.call("DELETE", path, token=quorum.first)).status_code == 204
    assert error_of(await quorum.decide(asked["id"])) == (409, "approval_failed")
    assert await quorum.role() == "admin"


async def test_what_nobody_decided_in_time_is_over_whether_or_not_that_was_noted(quorum: Quorum) -> None:
    door, asked = quorum.door, await quorum.ask()
    await door.run_sql("UPDATE approvals SET expires_at = clock_timestamp()")
    for verb in ("approve", "reject"):
        assert error_of(await quorum.decide(asked["id"], verb)) == (409, "approval_expired")
    assert error_of(await door.call("DELETE", f"/approvals/{asked['id']}", token=quorum.first)) == (
        409,
        "approval_expired",
    )
    assert (await quorum.state(asked["id"]))["state"] == "expired"
    again = await quorum.ask()
    listed = {
        state: [one["id"] for one in (await door.call("GET", f"/approvals?state={state}", token=quorum.second)).json()["approvals"]]
        for state in ("pending", "expired", "approved")
    }  # fmt: skip
    assert listed == {"pending": [again["id"]], "expired": [asked["id"]], "approved": []}
    counts = await asyncio.gather(*(note_expired(door.database) for _ in range(8)))
    assert (sum(counts), await note_expired(door.database)) == (1, 0)
    (event,) = await door.events("reeve.approval.expired.v1")
    assert (event.data["approval_id"], event.actortype) == (asked["id"], "system")
    ((inputs,),) = await door.run_sql("SELECT inputs FROM approvals WHERE id = :id", id=asked["id"])
    assert inputs is None
    assert (await quorum.state(asked["id"]))["state"] == "expired"
    assert await quorum.role() == "admin"


async def test_many_that_expired_are_told_of_in_bounded_portions(quorum: Quorum) -> None:
    await quorum.door.run_sql(
        "INSERT INTO approvals (id, kind, target, inputs, changes, asked_by, expires_at)"
        " SELECT gen_random_uuid(), 'user_role', 'user/' || n, '{}', '{}', 'x', now() FROM generate_series(1, :count) AS n",
        count=store.MOST_EXPIRED + 7,
    )
    assert [await note_expired(quorum.door.database) for _ in range(3)] == [store.MOST_EXPIRED, 7, 0]


async def test_a_change_waits_as_long_as_is_configured(gateway_database: Database) -> None:
    async with open_door(gateway_database, approval_seconds="90") as door:
        await door.make_user(role="super_admin", email=SECOND)
        target = await door.make_user(role="viewer", email="target@example.com")
        await promote(door, await door.token_of("super_admin"), target["id"])
        ((waits,),) = await door.run_sql("SELECT extract(epoch FROM expires_at - created_at) FROM approvals")
        assert 89 < waits < 91


async def test_a_list_is_walked_by_cursor_and_a_cursor_is_its_readers_own(quorum: Quorum) -> None:
    door = quorum.door
    made = []
    for number in range(5):
        body = {"email": f"n{number}@example.com", "name": "x", "role": "super_admin"}
        made.append((await door.call("POST", "/users", token=quorum.first, json=body)).json()["id"])
    first = (await door.call("GET", "/approvals?limit=3", token=quorum.second)).json()
    assert ([one["id"] for one in first["approvals"]], first["total"]) == (made[:1:-1], 5)
    path = f"/approvals?limit=3&cursor={first['next_cursor']}"
    rest = (await door.call("GET", path, token=quorum.second)).json()
    assert ([one["id"] for one in rest["approvals"]], rest["next_cursor"]) == (made[1::-1], None)
    skipped = (await door.call("GET", "/approvals?skip=4", token=quorum.second)).json()
    assert [one["id"] for one in skipped["approvals"]] == made[:1]
    assert error_of(await door.call("GET", path, token=quorum.first)) == (422, "invalid_cursor")
    assert error_of(await door.call("GET", f"{path}&state=pending", token=quorum.second)) == (422, "invalid_cursor")


async def test_erasing_whoever_decided_forgets_their_words(quorum: Quorum) -> None:
    asked = await quorum.ask()
    decided = (await quorum.decide(asked["id"], "reject")).json()
    path = f"/users/{decided['decided_by']}?confirm=true&erase=true"
    assert (await quorum.door.call("DELETE", path, token=quorum.first)).status_code == 204
    assert (await quorum.state(asked["id"]))["reason"] == ""


async def test_a_change_that_races_its_askers_end_is_made_before_it_or_not_at_all(quorum: Quorum) -> None:
    door = quorum.door
    third = await door.make_user(role="super_admin", email="third@example.com")
    token = (await door.sign_in(third["email"]))["access_token"]
    first = (await door.call("GET", "/auth/me", token=quorum.first)).json()["id"]
    for number in range(4):
        target = await door.make_user(role="viewer", email=f"t{number}@example.com")
        asked = (await promote(door, quorum.first, target["id"])).json()
        await door.run_sql("DELETE FROM outbox")
        approved, ended = await asyncio.gather(
            quorum.decide(asked["id"]),
            door.call("PUT", f"/users/{first}/role", token=token, json={"role": "admin"}),
        )
        assert (ended.status_code, approved.status_code) in {(200, 200), (200, 409)}
        told = [event.subject for event in await door.events("reeve.user.role_changed.v1")]
        ((role,),) = await door.run_sql("SELECT role FROM users WHERE id = :id", id=target["id"])
        assert told == ([f"user/{target['id']}", f"user/{first}"] if approved.status_code == 200 else [f"user/{first}"])
        assert role == ("super_admin" if approved.status_code == 200 else "viewer")
        await door.run_sql("UPDATE users SET role = 'super_admin' WHERE id = :id", id=first)
        door.access.evict()


@pytest.mark.parametrize(
    "meanwhile", ["SET state = 'withdrawn', inputs = NULL", "SET expires_at = clock_timestamp()"], ids=["ended", "late"]
)
async def test_not_even_who_overlooked_it_moves_what_waits_no_more(quorum: Quorum, meanwhile: str) -> None:
    asked = await quorum.ask()
    await quorum.door.run_sql(f"UPDATE approvals {meanwhile}")
    async with quorum.door.database.transaction() as session:
        assert await store.end(session, asked["id"], State.APPROVED, decided_by="somebody") is None
    assert (await quorum.state(asked["id"]))["state"] in ("withdrawn", "expired")


async def test_a_kind_of_another_release_is_its_askers_alone_and_decided_by_nobody(quorum: Quorum) -> None:
    door, asked = quorum.door, await quorum.ask()
    await door.run_sql("UPDATE approvals SET kind = 'later_kind'")
    path = f"/approvals/{asked['id']}"
    for answer in (await door.call("GET", path, token=quorum.second), await quorum.decide(asked["id"])):
        assert error_of(answer) == (404, "approval_not_found")
    seen = await quorum.state(asked["id"])
    assert (seen["kind"], seen["permission"], seen["state"]) == ("later_kind", None, "pending")
    assert error_of(await quorum.decide(asked["id"], token=quorum.first)) == (404, "approval_not_found")
    assert (await door.call("DELETE", path, token=quorum.first)).json()["state"] == "withdrawn"
