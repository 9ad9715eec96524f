"""Accounts changed, switched off, deleted and erased by those who may."""

import asyncio
from hashlib import sha256
from typing import Any

import pytest
from sqlalchemy import text

from services.gateway.access.pseudonyms import pseudonym_of
from services.gateway.features.lifecycle.commands import finish_erasures
from tests.integration.gateway.access.door import PASSWORD, Door, new_door_access
from tests.support.eventually import eventually

NOWHERE = "00000000-0000-7000-8000-000000000000"
CANARY = "canary-person"


async def first_admin(door: Door) -> dict[str, Any]:
    me: dict[str, Any] = (await door.call("GET", "/auth/me", token=await door.token_of("super_admin"))).json()
    return me


async def test_name_and_address_are_changed_and_masked_in_the_event(door: Door) -> None:
    made = await door.make_user(role="viewer", email="old@example.com")
    token = await door.token_of("admin")
    answer = await door.call(
        "PATCH", f"/users/{made['id']}", token=token, json={"email": "New@Example.com", "name": CANARY},
        headers={"If-Match": '"1"'},
    )  # fmt: skip
    assert (answer.status_code, answer.headers["etag"]) == (200, '"2"')
    assert (answer.json()["email"], answer.json()["name"]) == ("new@example.com", CANARY)
    (event,) = await door.events("reeve.user.updated.v1")
    masked = {"old": "[redacted]", "new": "[redacted]"}
    assert event.data["changes"] == {"email": masked, "name": masked}
    assert CANARY not in str(event.data)
    assert event.subject == f"user/{made['id']}"
    assert (await door.sign_in("new@example.com"))["admin"]["name"] == CANARY


async def test_a_patch_that_changes_nothing_leaves_no_event(door: Door) -> None:
    made = await door.make_user(role="viewer", email="v@example.com")
    for body in ({}, {"name": "Somebody"}, {"email": "v@example.com"}, {"name": None}):
        answer = await door.call("PATCH", f"/users/{made['id']}", token=await door.token_of("super_admin"), json=body)
        assert (answer.status_code, answer.json()["version"]) == (200, 1)
    assert await door.events("reeve.user.updated.v1") == []
    assert door.watch.state["recorded"] is False


async def test_an_address_that_somebody_has_is_refused(door: Door) -> None:
    made = await door.make_user(role="viewer", email="v@example.com")
    answer = await door.call(
        "PATCH", f"/users/{made['id']}", token=await door.token_of("super_admin"), json={"email": "FIRST@example.com"}
    )
    assert (answer.status_code, answer.json()["detail"]["error"]) == (409, "user_exists")


async def test_the_address_of_somebody_above_is_not_changed(door: Door) -> None:
    first = await first_admin(door)
    answer = await door.call(
        "PATCH", f"/users/{first['id']}", token=await door.token_of("admin"), json={"email": "mine@example.com"}
    )
    assert (answer.status_code, answer.json()["detail"]["error"]) == (403, "insufficient_role")


@pytest.mark.parametrize("member", ["role", "is_active", "password", "version", "id"])
async def test_a_patch_takes_nothing_that_has_a_route_of_its_own(door: Door, member: str) -> None:
    made = await door.make_user(role="viewer", email="v@example.com")
    answer = await door.call(
        "PATCH", f"/users/{made['id']}", token=await door.token_of("super_admin"), json={member: "viewer"}
    )
    assert answer.status_code == 422


async def test_an_account_that_is_known_already_is_304(door: Door) -> None:
    made = await door.make_user(role="viewer", email="v@example.com")
    token = await door.token_of("viewer")
    for tag, status in (('"1"', 304), ('W/"1"', 304), ('"7", "1"', 304), ("*", 304), ('"2"', 200), ("1", 200)):
        answer = await door.call("GET", f"/users/{made['id']}", token=token, headers={"If-None-Match": tag})
        assert (answer.status_code, answer.headers["etag"]) == (status, '"1"'), tag
        assert (answer.content == b"") == (status == 304)


async def test_an_account_that_is_switched_off_is_out_at_once_on_every_instance(door: Door) -> None:
    made = await door.make_user(role="viewer", email="v@example.com")
    tokens = [(await door.sign_in("v@example.com"))["access_token"] for _ in range(2)]
    elsewhere = new_door_access(door.database)
    assert (await elsewhere.authenticate(tokens[0])).role == "viewer"
    answer = await door.call(
        "PUT", f"/users/{made['id']}/status", token=await door.token_of("admin"),
        json={"is_active": False, "reason": "left the company"}, headers={"If-Match": '"1"'},
    )  # fmt: skip
    assert (answer.status_code, answer.json()["is_active"], answer.headers["etag"]) == (200, False, '"2"')
    for token in tokens:
        assert (await door.call("GET", "/auth/me", token=token)).status_code == 401
    (changed,) = await door.events("reeve.user.status_changed.v1")
    assert changed.data["changes"] == {"is_active": {"old": True, "new": False}}
    assert changed.data["reason"] == "left the company"
    ended = await door.events("reeve.session.ended.v1")
    assert [(one.data["reason"], one.causationid) for one in ended] == [("revoked", changed.id)] * 2
    elsewhere.apply_event(changed)
    with pytest.raises(Exception, match="ended"):
        await elsewhere.authenticate(tokens[0])
    elsewhere.close()
    refused = await door.call("POST", "/auth/login", json={"email": "v@example.com", "password": PASSWORD})
    assert refused.status_code == 401


async def test_an_account_that_is_switched_on_again_may_sign_in_and_has_no_old_session(door: Door) -> None:
    made = await door.make_user(role="viewer", email="v@example.com")
    old = (await door.sign_in("v@example.com"))["access_token"]
    token = await door.token_of("super_admin")
    for is_active in (False, True, True):
        answer = await door.call("PUT", f"/users/{made['id']}/status", token=token, json={"is_active": is_active})
        assert (answer.status_code, answer.json()["is_active"]) == (200, is_active)
    assert answer.json()["version"] == 3
    assert len(await door.events("reeve.user.status_changed.v1")) == 2
    assert (await door.call("GET", "/auth/me", token=old)).status_code == 401
    assert (await door.sign_in("v@example.com"))["admin"]["id"] == made["id"]


async def test_a_deletion_must_be_confirmed_and_keeps_the_record(door: Door) -> None:
    made = await door.make_user(role="viewer", email="v@example.com")
    token = await door.token_of("super_admin")
    for query in ("", "?confirm=false", "?erase=true"):
        answer = await door.call("DELETE", f"/users/{made['id']}{query}", token=token)
        assert (answer.status_code, answer.json()["detail"]["error"]) == (400, "confirmation_required")
    old = (await door.sign_in("v@example.com"))["access_token"]
    assert (await door.call("DELETE", f"/users/{made['id']}?confirm=true", token=token)).status_code == 204
    assert door.watch.state["recorded"] is True
    assert (await door.call("GET", "/auth/me", token=old)).status_code == 401
    kept = (await door.call("GET", f"/users/{made['id']}", token=token)).json()
    assert (kept["is_active"], kept["email"], kept["erased_at"]) == (False, "v@example.com", None)
    (event,) = await door.events("reeve.user.deleted.v1")
    assert event.data["changes"] == {"is_active": {"old": True, "new": False}}
    assert (await door.call("DELETE", f"/users/{made['id']}?confirm=true", token=token)).status_code == 204
    assert door.watch.state["recorded"] is False
    assert len(await door.events("reeve.user.deleted.v1")) == 1


async def test_an_admin_may_not_delete(door: Door) -> None:
    made = await door.make_user(role="viewer", email="v@example.com")
    answer = await door.call("DELETE", f"/users/{made['id']}?confirm=true", token=await door.token_of("admin"))
    assert answer.json()["detail"]["required_permission"] == "users:delete"


async def test_erasure_leaves_nothing_personal_in_the_gateway(door: Door) -> None:
    email = f"{CANARY}@example.com"
    made = await door.make_user(role="viewer", email=email)
    token = await door.token_of("super_admin")
    await door.call("PATCH", f"/users/{made['id']}", token=token, json={"name": CANARY})
    answer = await door.call("POST", "/auth/login", json={"email": email, "password": PASSWORD})
    assert answer.status_code == 200
    await door.run_sql("UPDATE sessions SET user_agent = :agent WHERE user_id = :id", agent=CANARY, id=made["id"])
    await door.run_sql(
        "INSERT INTO idempotency_keys (caller, key, request_hash, body) VALUES (:id, 'k', 'h', convert_to(:said, 'UTF8'))",
        id=made["id"], said=CANARY,
    )  # fmt: skip
    await door.run_sql(
        "INSERT INTO access_requests (id, user_id, permission, reason) VALUES (:id, :id, 'billing:read', :said)",
        id=made["id"], said=CANARY,
    )  # fmt: skip
    await door.run_sql(
        "INSERT INTO security_facts (kind, user_id, ip_address, user_agent) VALUES ('x', :id, '203.0.113.7', :said)",
        id=made["id"], said=CANARY,
    )  # fmt: skip
    await door.run_sql(
        "INSERT INTO security_events (id, fingerprint, event_type, severity, rule, subject, count, user_id, ip_address,"
        " details, notes, created_at, last_at) VALUES (CAST(CAST(:id AS text) AS uuid), 'r:203.0.113.7:42', 't', 'low', 'r',"
        " '203.0.113.7', 1, CAST(:id AS text), '203.0.113.7', jsonb_build_object('path', CAST(:said AS text)), :said, now(), now())",
        id=made["id"], said=CANARY,
    )  # fmt: skip
    await door.run_sql(
        "INSERT INTO external_identities (issuer, subject, user_id) VALUES ('https://issuer', :said, :id)",
        id=made["id"], said=CANARY,
    )  # fmt: skip
    await door.run_sql(
        "INSERT INTO external_sessions (session_id, issuer, subject, sid) SELECT id, 'https://issuer', :said, :said"
        " FROM sessions WHERE user_id = :id",
        id=made["id"], said=CANARY,
    )  # fmt: skip
    await door.run_sql(
        "INSERT INTO operations (id, admin_id, action, result) VALUES (gen_random_uuid(), :id, 'x', to_jsonb(CAST(:said AS text)))",
        id=made["id"], said=CANARY,
    )  # fmt: skip
    await door.run_sql(
        "INSERT INTO dead_letters (id, queue, reason, body) VALUES (:id, 'q', 'r', convert_to(:body, 'UTF8'))",
        id=made["id"], body=f'{{"actorid": "{made["id"]}", "said": "{CANARY}"}}',
    )  # fmt: skip
    await door.run_sql(
        "INSERT INTO dead_letters (id, queue, reason, body) VALUES (gen_random_uuid(), 'q', 'r', 'other')"
    )
    await door.run_sql(
        "INSERT INTO notices (id, user_id, kind, details) VALUES (:id, :id, 'new_device', jsonb_build_object('device', CAST(:said AS text)))",
        id=made["id"], said=CANARY,
    )  # fmt: skip
    await door.run_sql(
        "INSERT INTO approvals (id, kind, target, inputs, changes, asked_by, expires_at) VALUES (gen_random_uuid(), 'update_user',"
        " :target, jsonb_build_object('email', CAST(:said AS text)), '{}', 'x', now() + interval '1 day')",
        target=f"user/{made['id']}", said=CANARY,
    )  # fmt: skip
    await door.run_sql(
        "INSERT INTO exports (id, source, format, compression, options, filters, owner_id, owner_name, state) VALUES"
        " (CAST(CAST(:id AS text) AS uuid), 'users', 'csv', 'none', '{}', '{}', CAST(:id AS text), :said, 'succeeded')",
        id=made["id"], said=CANARY,
    )  # fmt: skip
    await door.call("POST", "/auth/password/forgot", json={"email": email})
    for tried in (email, "first@example.com"):
        await door.call("POST", "/auth/login", json={"email": tried, "password": "not the password"})
    await door.run_sql("INSERT INTO totp_factors (user_id, locked_secret) VALUES (:id, 'locked')", id=made["id"])
    detected = {"security_facts", "security_events"}
    kept_in = {
        "users", "sessions", "access_requests", "idempotency_keys", "outbox", "external_identities", "external_sessions",
        "operations", "dead_letters", "notices", "reset_requests", "approvals", "exports",
    }  # fmt: skip
    assert await tables_with(door, CANARY) == kept_in | detected
    assert await tables_with(door, "203.0.113.7", of=made["id"]) == {"sessions"} | detected
    answer = await door.call("DELETE", f"/users/{made['id']}?confirm=true&erase=true", token=token)
    assert answer.status_code == 204
    (event,) = await door.events("reeve.user.erased.v1")
    assert event.data["user_id"] == made["id"]
    assert {"email", "name", "password_hash", "sessions.ip_address"} <= set(event.data["fields"])
    assert CANARY not in str(event.data)
    # What waits in the outbox was said before; it belongs to the log, which erases its own.
    assert await tables_with(door, CANARY) <= {"outbox"}
    assert await tables_with(door, "203.0.113.7", of=made["id"]) == set()
    assert await door.run_sql("SELECT 1 FROM approvals WHERE expires_at > now()") == []
    # Failed sign-ins of others, and letters about others, stay.
    assert await door.run_sql("SELECT count(*) FROM sign_in_failures") == [(2,)]
    assert await door.run_sql("SELECT count(*) FROM dead_letters") == [(1,)]
    assert (
        await door.run_sql("SELECT 1 FROM sessions WHERE device_hash IS NOT NULL AND user_id = :id", id=made["id"])
        == []
    )
    ((subject, number),) = await door.run_sql("SELECT subject, split_part(fingerprint, ':', -1) FROM security_events")
    assert (subject, number) == ("erased", "42")
    ((hashed,),) = await door.run_sql("SELECT password_hash FROM users WHERE id = :id", id=made["id"])
    assert hashed is None
    assert await door.run_sql("SELECT 1 FROM totp_factors") == []
    kept = (await door.call("GET", f"/users/{made['id']}", token=token)).json()
    assert (kept["email"], kept["is_active"]) == (f"{made['id']}@erased.invalid", False)
    assert kept["erased_at"] is not None


async def test_an_identity_keeps_its_account_under_a_pseudonym_that_tells_nothing(door: Door) -> None:
    made = await door.make_user(role="viewer", email="v@example.com")
    other = await door.make_user(role="viewer", email="w@example.com")
    for subject, owner in (("1001", made), ("1002", other)):
        await door.run_sql(
            "INSERT INTO external_identities (issuer, subject, user_id) VALUES ('https://issuer', :s, :id)",
            s=subject, id=owner["id"],
        )  # fmt: skip
    token = await door.token_of("super_admin")
    answer = await door.call("DELETE", f"/users/{made['id']}?confirm=true&erase=true", token=token)
    assert (answer.status_code, "/audit/redactions" in answer.headers["link"]) == (204, True)
    kept = {
        row.user_id: row.subject for row in await door.run_sql("SELECT user_id::text, subject FROM external_identities")
    }
    assert kept[other["id"]] == "1002"
    assert kept[made["id"]] == pseudonym_of(b"c" * 32, "https://issuer", "1001")
    assert "1001" not in kept[made["id"]]
    assert kept[made["id"]] != f"erased:{sha256(b'1001').hexdigest()}"


async def test_what_an_older_release_left_of_erased_accounts_is_finished(door: Door) -> None:
    made = await door.make_user(role="viewer", email="v@example.com")
    other = await door.make_user(role="viewer", email="w@example.com")
    for subject, owner in (("1001", made), ("1002", other)):
        await door.run_sql(
            "INSERT INTO external_identities (issuer, subject, user_id) VALUES ('https://issuer', :s, :id)",
            s=subject, id=owner["id"],
        )  # fmt: skip
    await door.run_sql("UPDATE users SET erased_at = now() WHERE id = :id", id=made["id"])
    for expected in (1, 0):
        async with door.database.transaction() as session:
            assert await finish_erasures(session, secret=b"c" * 32) == expected
    subjects = {row.subject for row in await door.run_sql("SELECT subject FROM external_identities")}
    assert subjects == {"1002", pseudonym_of(b"c" * 32, "https://issuer", "1001")}


async def tables_with(door: Door, said: str, *, of: str | None = None) -> set[str]:
    """The tables in whose rows something was said, as text or as bytes; with `of` only the rows that belong to a user."""
    tables = await door.run_sql("SELECT table_name FROM information_schema.tables WHERE table_schema = 'gateway'")
    found = set()
    for (table,) in tables:
        if table == "alembic_version":
            continue
        about = "AND (row_to_json(t)->>'user_id') = :of" if of else ""
        rows = await door.run_sql(
            f"SELECT count(*) FROM {table} AS t WHERE (row_to_json(t)::text LIKE '%' || CAST(:said AS text) || '%' OR row_to_json(t)::text"
            f" LIKE '%' || encode(convert_to(CAST(:said AS text), 'UTF8'), 'hex') || '%') {about}",
            said=said, **({"of": of} if of else {}),
        )  # fmt: skip
        if rows[0][0]:
            found.add(table)
    return found


async def test_an_erased_account_is_never_changed_again(door: Door) -> None:
    made = await door.make_user(role="viewer", email="v@example.com")
    token = await door.token_of("super_admin")
    assert (await door.call("DELETE", f"/users/{made['id']}?confirm=true&erase=true", token=token)).status_code == 204
    for method, path, body in (
        ("PUT", "/status", {"is_active": True}),
        ("PUT", "/role", {"role": "admin"}),
        ("PATCH", "", {"name": "Back"}),
        ("DELETE", "?confirm=true", None),
    ):
        answer = await door.call(method, f"/users/{made['id']}{path}", token=token, json=body)
        assert (answer.status_code, answer.json()["detail"]["error"]) == (409, "user_erased"), method
    again = await door.make_user(role="viewer", email="v@example.com")
    assert again["id"] != made["id"]


async def test_an_account_deleted_first_can_be_erased_later(door: Door) -> None:
    made = await door.make_user(role="viewer", email="v@example.com")
    token = await door.token_of("super_admin")
    for query in ("?confirm=true", "?confirm=true&erase=true"):
        assert (await door.call("DELETE", f"/users/{made['id']}{query}", token=token)).status_code == 204
    assert (len(await door.events("reeve.user.deleted.v1")), len(await door.events("reeve.user.erased.v1"))) == (1, 1)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [("PUT", "/status", {"is_active": False}), ("DELETE", "?confirm=true", None), ("DELETE", "?confirm=true&erase=true", None)],
)  # fmt: skip
async def test_nobody_switches_off_themselves_or_the_last_super_admin(
    door: Door, method: str, path: str, body: dict[str, Any] | None
) -> None:
    me = await first_admin(door)
    token = await door.token_of("super_admin")
    answer = await door.call(method, f"/users/{me['id']}{path}", token=token, json=body)
    assert (answer.status_code, answer.json()["detail"]["error"]) == (409, "last_super_admin")
    await door.make_user(role="super_admin", email="second@example.com")
    answer = await door.call(method, f"/users/{me['id']}{path}", token=token, json=body)
    assert (answer.status_code, answer.json()["detail"]["error"]) == (409, "self_change_refused")
    assert await door.events("reeve.user.erased.v1") == []


async def test_an_admin_does_not_switch_off_a_super_admin(door: Door) -> None:
    me = await first_admin(door)
    answer = await door.call(
        "PUT", f"/users/{me['id']}/status", token=await door.token_of("admin"), json={"is_active": False}
    )
    assert (answer.status_code, answer.json()["detail"]["error"]) == (403, "insufficient_role")


@pytest.mark.parametrize(("tag", "status"), [('"1"', 204), ("*", 204), ('"2"', 412), ('W/"1"', 412)])
async def test_a_deletion_holds_to_if_match(door: Door, tag: str, status: int) -> None:
    made = await door.make_user(role="viewer", email="v@example.com")
    answer = await door.call(
        "DELETE", f"/users/{made['id']}?confirm=true", token=await door.token_of("super_admin"),
        headers={"If-Match": tag},
    )  # fmt: skip
    assert answer.status_code == status


async def test_an_account_that_is_not_there_is_404(door: Door) -> None:
    token = await door.token_of("super_admin")
    for method, path, body in (
        ("PATCH", "", {"name": "x"}),
        ("PUT", "/status", {"is_active": True}),
        ("DELETE", "?confirm=true", None),
    ):
        answer = await door.call(method, f"/users/{NOWHERE}{path}", token=token, json=body)
        assert (answer.status_code, answer.json()["detail"]["error"]) == (404, "user_not_found")


async def test_fifty_parallel_demotions_and_deactivations_leave_an_active_super_admin(door: Door) -> None:
    me = await first_admin(door)
    admins = [await door.make_user(role="super_admin", email=f"s{number}@example.com") for number in range(8)]
    tokens = [(await door.sign_in(one["email"]))["access_token"] for one in admins]
    everybody = [*admins, me]

    async def attack(number: int) -> int:
        token, user_id = tokens[number % 8], everybody[(number * 5 + 1) % 9]["id"]
        ways: list[tuple[str, str, dict[str, Any] | None]] = [
            ("PUT", "/role", {"role": "viewer"}),
            ("PUT", "/status", {"is_active": False}),
            ("DELETE", "?confirm=true", None),
        ]
        method, path, body = ways[number % 3]
        return (await door.call(method, f"/users/{user_id}{path}", token=token, json=body)).status_code

    statuses = await asyncio.gather(*(attack(number) for number in range(50)))
    assert set(statuses) <= {200, 204, 401, 403, 409, 503}
    assert any(status < 300 for status in statuses)
    ((left,),) = await door.run_sql("SELECT count(*) FROM users WHERE role = 'super_admin' AND is_active")
    assert left >= 1


_DEMOTE = ("PUT", "/role", {"role": "viewer"})
_SWITCH_OFF = ("PUT", "/status", {"is_active": False})
_DELETE = ("DELETE", "?confirm=true", None)


@pytest.mark.parametrize(("one", "other"), [(_DEMOTE, _DEMOTE), (_SWITCH_OFF, _DELETE), (_DEMOTE, _SWITCH_OFF)])
async def test_two_super_admins_who_remove_each_other_at_the_same_moment_leave_one(
    door: Door, one: tuple[str, str, Any], other: tuple[str, str, Any]
) -> None:
    me = await first_admin(door)
    second = await door.make_user(role="super_admin", email="second@example.com")
    tokens = [await door.token_of("super_admin"), (await door.sign_in("second@example.com"))["access_token"]]

    async def remove(token: str, user_id: str, way: tuple[str, str, Any]) -> int:
        method, path, body = way
        return (await door.call(method, f"/users/{user_id}{path}", token=token, json=body)).status_code

    async def both_wait() -> bool:
        ((waiting,),) = await door.run_sql(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        return bool(waiting == 2)

    async with asyncio.TaskGroup() as group, door.database.transaction() as session:
        # Neither can write while these rows are held, and both have read all they decide by where nothing keeps
        # the second from it.
        await session.execute(text("SELECT FROM users FOR UPDATE"))
        done = [
            group.create_task(remove(tokens[0], second["id"], one)),
            group.create_task(remove(tokens[1], me["id"], other)),
        ]
        await eventually(both_wait)
    assert sorted(status < 300 for status in (task.result() for task in done)) == [False, True]
    ((left,),) = await door.run_sql("SELECT count(*) FROM users WHERE role = 'super_admin' AND is_active")
    assert left == 1


async def test_a_sign_in_that_races_a_deactivation_leaves_no_live_session(door: Door) -> None:
    made = await door.make_user(role="viewer", email="v@example.com")
    token = await door.token_of("super_admin")
    credentials = {"email": "v@example.com", "password": PASSWORD}
    await asyncio.gather(
        *(door.call("POST", "/auth/login", json=credentials) for _ in range(6)),
        door.call("PUT", f"/users/{made['id']}/status", token=token, json={"is_active": False}),
        *(door.call("POST", "/auth/login", json=credentials) for _ in range(6)),
    )
    ((left,),) = await door.run_sql("SELECT count(*) FROM sessions WHERE user_id = :id AND is_active", id=made["id"])
    assert left == 0
