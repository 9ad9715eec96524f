"""Every change that gives somebody everything waits for a second pair of eyes, where there is one."""

from tests.integration.gateway.access.door import PASSWORD, Door
from tests.integration.gateway.access.quorum import SECOND, Quorum, error_of, promote

NOWHERE = "00000000-0000-7000-8000-000000000000"


async def test_alone_one_pair_of_eyes_is_enough_and_the_log_says_so(door: Door) -> None:
    target = await door.make_user(role="viewer", email="target@example.com")
    answer = await promote(door, await door.token_of("super_admin"), target["id"])
    assert (answer.status_code, answer.json()["role"]) == (200, "super_admin")
    (changed,) = await door.events("reeve.user.role_changed.v1")
    assert (changed.data["approval"], changed.severity) == ("none_available", "error")
    assert "approval_id" not in changed.data
    (fact,) = await door.run_sql("SELECT details FROM security_facts WHERE kind = 'privilege_changed'")
    assert fact.details["approval"] == "none_available"


async def test_a_super_admin_who_is_switched_off_is_nobody_to_wait_for(quorum: Quorum) -> None:
    await quorum.door.run_sql("UPDATE users SET is_active = false WHERE email = :email", email=SECOND)
    assert (await promote(quorum.door, quorum.first, quorum.target["id"])).status_code == 200


async def test_the_first_of_all_is_made_by_the_configuration_and_the_log_says_so(door: Door) -> None:
    (created,) = await door.events("reeve.user.created.v1")
    assert created.data["approval"] == "bootstrap"


async def test_a_change_that_gives_less_or_nothing_does_not_wait(quorum: Quorum) -> None:
    door, second = quorum.door, (await quorum.door.call("GET", "/auth/me", token=quorum.second)).json()["id"]
    for user_id, role in ((quorum.target["id"], "admin"), (second, "super_admin"), (second, "viewer")):
        answer = await door.call("PUT", f"/users/{user_id}/role", token=quorum.first, json={"role": role})
        assert answer.status_code == 200
    events = await door.events("reeve.user.role_changed.v1")
    assert [event.data.get("approval") for event in events] == [None]


async def test_a_new_super_admin_is_no_account_until_it_is_approved(quorum: Quorum) -> None:
    door = quorum.door
    body = {"email": "New@example.com", "name": "Ada", "role": "super_admin", "password": PASSWORD}
    answer = await door.call("POST", "/users", token=quorum.first, json=body)
    asked = answer.json()
    assert (answer.status_code, asked["kind"], PASSWORD in answer.text) == (202, "user_creation", False)
    total = (await door.call("GET", "/users?q=new@example.com", token=quorum.first)).json()["total"]
    refused = await door.call("POST", "/auth/login", json={"email": "new@example.com", "password": PASSWORD})
    assert (total, refused.status_code) == (0, 401)
    # Whoever decides must see about whom; the log need not.
    seen = (await door.call("GET", f"/approvals/{asked['id']}", token=quorum.second)).json()
    assert seen["changes"]["email"] == {"old": None, "new": "new@example.com"}
    assert seen["changes"]["name"]["new"] == "Ada"
    (requested,) = await door.events("reeve.approval.requested.v1")
    assert requested.data["proposed"]["email"] == {"new": "[redacted]"}

    assert (await quorum.decide(asked["id"])).json()["changes"]["email"]["new"] == "[redacted]"
    made = (await door.sign_in("new@example.com"))["admin"]
    assert (f"user/{made['id']}", made["role"], made["created_by"]) == (
        asked["target"],
        "super_admin",
        asked["asked_by"],
    )
    (row,) = await door.run_sql("SELECT inputs, changes::text FROM approvals")
    assert row.inputs is None
    assert "new@example.com" not in row.changes
    created = (await door.events("reeve.user.created.v1"))[-1]
    assert (created.data["approval_id"], created.severity) == (asked["id"], "warning")


async def test_an_activation_link_is_sent_once_the_account_is_approved_and_not_before(quorum: Quorum) -> None:
    door, body = quorum.door, {"email": "new@example.com", "name": "Ada", "role": "super_admin"}
    asked = (await door.call("POST", "/users", token=quorum.first, json=body)).json()
    assert await door.mails() == []
    await quorum.decide(asked["id"])
    assert [mail.address for mail in await door.mails()] == ["new@example.com"]


async def test_an_address_that_was_taken_meanwhile_fails_the_creation(quorum: Quorum) -> None:
    door, body = quorum.door, {"email": "new@example.com", "name": "Ada", "role": "super_admin"}
    first, again = [(await door.call("POST", "/users", token=quorum.first, json=body)).json() for _ in range(2)]
    assert (await quorum.decide(first["id"])).status_code == 200
    failed = await quorum.decide(again["id"])
    assert (error_of(failed), failed.json()["detail"]["cause"]) == ((409, "approval_failed"), "user_exists")
    taken = await door.call("POST", "/users", token=quorum.first, json=body)
    assert error_of(taken) == (409, "user_exists")


async def test_a_super_admin_is_switched_on_again_by_two(quorum: Quorum) -> None:
    door, user_id = quorum.door, quorum.target["id"]
    await quorum.decide((await quorum.ask())["id"])
    path, on = f"/users/{user_id}/status", {"is_active": True, "reason": "back"}
    assert (await door.call("PUT", path, token=quorum.first, json={"is_active": False})).status_code == 200
    answer = await door.call("PUT", path, token=quorum.first, json=on)
    assert (answer.status_code, answer.json()["kind"]) == (202, "user_status")
    bulk = {"ids": [user_id], "operation": "activate", "reason": "back"}
    again = (await door.call("POST", "/users/bulk", token=quorum.first, json=bulk)).json()
    assert again["results"][0]["approval_id"] == answer.json()["id"]
    assert (await door.call("GET", f"/users/{user_id}", token=quorum.first)).json()["is_active"] is False
    assert (await quorum.decide(answer.json()["id"])).status_code == 200
    assert (await door.call("GET", f"/users/{user_id}", token=quorum.first)).json()["is_active"] is True
    event = (await door.events("reeve.user.status_changed.v1"))[-1]
    assert (event.data["approval_id"], event.data["reason"]) == (answer.json()["id"], "back")


async def test_nobody_alone_takes_the_mail_of_another_super_admin(quorum: Quorum) -> None:
    """Whoever has their address can reset their password, and approve as them."""
    door = quorum.door
    second = (await door.call("GET", "/auth/me", token=quorum.second)).json()["id"]
    first = (await door.call("GET", "/auth/me", token=quorum.first)).json()["id"]
    body = {"email": "mine@example.com", "name": "Mine"}
    answer = await door.call("PATCH", f"/users/{second}", token=quorum.first, json=body)
    assert (answer.status_code, answer.json()["changes"]["email"]["new"]) == (202, "mine@example.com")
    assert (await door.call("GET", f"/users/{second}", token=quorum.first)).json()["email"] == SECOND
    # Names, one's own address, and the addresses of others are changed at once.
    for user_id, change in (
        (second, {"name": "Mine"}),
        (first, {"email": "1@example.com"}),
        (quorum.target["id"], body),
    ):
        assert (await door.call("PATCH", f"/users/{user_id}", token=quorum.first, json=change)).status_code == 200
    stale = await quorum.decide(answer.json()["id"])
    assert stale.json()["detail"]["cause"] == "version_conflict"
    again = {"email": "other@example.com"}
    asked = (await door.call("PATCH", f"/users/{second}", token=quorum.first, json=again)).json()
    assert (await quorum.decide(asked["id"])).status_code == 200
    assert (await door.sign_in("other@example.com"))["admin"]["id"] == second


async def test_of_many_accounts_those_wait_that_must(quorum: Quorum) -> None:
    door, second = quorum.door, (await quorum.door.call("GET", "/auth/me", token=quorum.second)).json()["id"]
    other = (await door.make_user(role="viewer", email="v@example.com"))["id"]
    ids = [quorum.target["id"], NOWHERE, second, other]
    body = {"ids": ids, "operation": "set_role", "role": "super_admin"}
    answer = (await door.call("POST", "/users/bulk", token=quorum.first, json=body)).json()
    assert [(one["status"], one["outcome"]) for one in answer["results"]] == [
        (202, "awaiting_approval"), (404, "refused"), (200, "unchanged"), (202, "awaiting_approval"),
    ]  # fmt: skip
    counts = {"requested": 4, "changed": 0, "awaiting_approval": 2, "unchanged": 1, "refused": 1}
    assert {name: answer[name] for name in counts} == counts
    (parent,) = await door.events("reeve.users.bulk_changed.v1")
    assert {name: parent.data[name] for name in counts} == counts
    waiting = [one["approval_id"] for one in answer["results"] if one["approval_id"]]
    asked = await door.events("reeve.approval.requested.v1")
    assert [(event.subject, event.causationid) for event in asked] == [
        (f"approval/{one}", parent.id) for one in waiting
    ]
    assert await quorum.role() == "admin"
    again = (await door.call("POST", "/users/bulk", token=quorum.first, json=body)).json()
    assert [one["approval_id"] for one in again["results"] if one["approval_id"]] == waiting
    # What waited already leaves no second request, and an entry all the same.
    parent = (await door.events("reeve.users.bulk_changed.v1"))[-1]
    entries = [one.subject for one in await door.events("reeve.request.recorded.v1") if one.causationid == parent.id]
    assert entries == [f"user/{one}" for one in ids]
    for one in waiting:
        assert (await quorum.decide(one)).status_code == 200
    assert await quorum.role() == "super_admin"
