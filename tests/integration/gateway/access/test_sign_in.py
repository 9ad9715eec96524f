"""Signing in and out, and staying signed in."""

import asyncio
from datetime import UTC, datetime, timedelta

from libs.common.database.engine import Database
from services.gateway.features.first_admin.commands import ensure_first_admin
from tests.integration.gateway.access.door import PASSWORD, SUPER_ADMIN, Door, new_door_access, open_door


async def test_signing_in_answers_tokens_and_who_one_is(door: Door) -> None:
    answer = await door.call("POST", "/auth/login", json={"email": SUPER_ADMIN, "password": PASSWORD})
    body = answer.json()
    assert answer.status_code == 200
    assert set(body) == {"access_token", "token_type", "expires_in", "refresh_token", "admin"}
    assert (body["token_type"], body["expires_in"]) == ("bearer", 900)
    assert (body["admin"]["email"], body["admin"]["role"]) == (SUPER_ADMIN, "super_admin")
    assert body["admin"]["permission_level"] == "admin"
    assert "users:delete" in body["admin"]["permissions"]
    assert PASSWORD not in answer.text


async def test_one_account_may_sign_in_from_many_places_at_once(door: Door) -> None:
    await door.make_user(role="viewer", email="v@example.com")
    credentials = {"email": "v@example.com", "password": PASSWORD}
    answers = await asyncio.gather(*(door.call("POST", "/auth/login", json=credentials) for _ in range(8)))
    assert [answer.status_code for answer in answers] == [200] * 8


async def test_me_is_the_one_who_signed_in(door: Door) -> None:
    token = await door.token_of("viewer")
    answer = await door.call("GET", "/auth/me", token=token)
    body = answer.json()
    assert answer.status_code == 200
    assert (body["email"], body["role"], body["permission_level"]) == ("viewer@example.com", "viewer", "read")
    assert "settings:read" in body["permissions"]
    assert "settings:write" not in body["permissions"]
    assert body["created_at"].endswith("Z")


async def test_a_session_and_its_event_are_left(door: Door) -> None:
    token = (await door.sign_in())["access_token"]
    claims = door.access.tokens.verify(token)
    (event,) = await door.events("reeve.session.started.v1")
    assert event.data["session_id"] == claims.sid
    assert (event.subject, event.actorid, event.actortype) == (f"session/{claims.sid}", claims.user_id, "admin")
    assert event.data["origin"]["ip_address"] == "203.0.113.7"
    assert event.data["origin"]["username"] == SUPER_ADMIN
    assert event.correlationid == door.watch.state["request_id"]
    assert door.watch.state["recorded"] is True
    (row,) = await door.run_sql("SELECT ip_address, user_agent, is_active, logout_at FROM sessions")
    assert (row.ip_address, row.is_active, row.logout_at) == ("203.0.113.7", True, None)


async def test_whatever_is_wrong_the_answer_is_the_same(door: Door) -> None:
    await door.make_user(role="viewer", email="waiting@example.com", password=None)
    await door.make_user(role="viewer", email="off@example.com")
    await door.run_sql("UPDATE users SET is_active = false WHERE email = 'off@example.com'")
    answers = [
        await door.call(
            "POST", "/auth/login", json={"email": email, "password": password}, headers={"X-Request-ID": "same-request"}
        )
        for email, password in [
            (SUPER_ADMIN, "wrong password"),
            ("nobody@example.com", PASSWORD),
            ("waiting@example.com", PASSWORD),
            ("off@example.com", PASSWORD),
            ("off@example.com", "wrong password"),
            ("no address at all", "x"),
        ]
    ]
    assert {(answer.status_code, answer.text, answer.headers["www-authenticate"]) for answer in answers} == {
        (401, '{"detail":{"error":"invalid_credentials","message":"e-mail address or password is wrong"}}', "Bearer")
    }
    reasons = [event.data["reason"] for event in await door.events("reeve.sign_in.failed.v1")]
    assert reasons == [
        "wrong_password",
        "unknown_user",
        "awaits_activation",
        "inactive",
        "wrong_password",
        "unknown_user",
    ]


async def test_a_refused_sign_in_is_recorded_without_what_was_typed(door: Door) -> None:
    await door.call("POST", "/auth/login", json={"email": "mallory.secret@example.com", "password": "canary-password"})
    (event,) = await door.events("reeve.sign_in.failed.v1")
    assert event.data["tried_email"] == "m***@example.com"
    assert (event.actortype, event.actorid, event.severity) == ("anonymous", None, "warning")
    dumped = str(await door.run_sql("SELECT convert_from(body, 'UTF8') FROM outbox"))
    assert "canary-password" not in dumped
    assert "mallory.secret" not in dumped


async def test_an_address_is_one_account_in_whatever_case_it_is_typed(door: Door) -> None:
    assert (await door.sign_in(f" {SUPER_ADMIN.upper()} "))["admin"]["email"] == SUPER_ADMIN


async def test_an_otp_is_accepted(door: Door) -> None:
    answer = await door.call("POST", "/auth/login", json={"email": SUPER_ADMIN, "password": PASSWORD, "otp": "123456"})
    assert answer.status_code == 200


async def test_after_signing_out_the_token_works_nowhere(door: Door) -> None:
    elsewhere = new_door_access(door.database)
    tokens = await door.sign_in()
    token = tokens["access_token"]
    await elsewhere.authenticate(token)
    assert (await door.call("GET", "/auth/me", token=token)).status_code == 200
    out = await door.call("POST", "/auth/logout", token=token)
    assert (out.status_code, out.content) == (204, b"")
    refused = await door.call("GET", "/auth/me", token=token)
    assert (refused.status_code, refused.json()["detail"]["error"]) == (401, "invalid_token")
    (event,) = await door.events("reeve.session.ended.v1")
    assert (event.data["reason"], event.data["action"]) == ("signed_out", "sign_out")
    elsewhere.apply_event(event)
    assert not await _is_let_in(elsewhere, token)
    answer = await door.call("POST", "/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
    assert answer.status_code == 401


async def _is_let_in(access: object, token: str) -> bool:
    from libs.common.errors import Unauthenticated

    try:
        await access.authenticate(token)  # type: ignore[attr-defined]
    except Unauthenticated:
        return False
    return True


async def test_signing_out_ends_this_session_alone(door: Door) -> None:
    first, second = await door.sign_in(), await door.sign_in()
    await door.call("POST", "/auth/logout", token=first["access_token"])
    assert (await door.call("GET", "/auth/me", token=second["access_token"])).status_code == 200


async def test_a_refresh_token_works_once_and_gives_the_next(door: Door) -> None:
    tokens = await door.sign_in()
    refreshed = await door.call("POST", "/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
    body = refreshed.json()
    assert refreshed.status_code == 200
    assert body["refresh_token"] != tokens["refresh_token"]
    assert body["admin"]["email"] == SUPER_ADMIN
    old, new = (door.access.tokens.verify(one["access_token"]) for one in (tokens, body))
    assert (old.sid, old.auth_time) == (new.sid, new.auth_time)
    assert old.jti != new.jti
    assert (await door.call("GET", "/auth/me", token=body["access_token"])).status_code == 200
    again = await door.call("POST", "/auth/refresh", json={"refresh_token": body["refresh_token"]})
    assert again.status_code == 200


async def test_a_reused_refresh_token_ends_the_whole_session(door: Door) -> None:
    stolen = await door.sign_in()
    other = await door.sign_in()
    mine = (await door.call("POST", "/auth/refresh", json={"refresh_token": stolen["refresh_token"]})).json()
    assert (await door.call("GET", "/auth/me", token=mine["access_token"])).status_code == 200
    reused = await door.call("POST", "/auth/refresh", json={"refresh_token": stolen["refresh_token"]})
    assert (reused.status_code, reused.json()["detail"]["error"]) == (401, "token_reused")
    for token in (stolen["access_token"], mine["access_token"]):
        assert (await door.call("GET", "/auth/me", token=token)).status_code == 401
    next_one = await door.call("POST", "/auth/refresh", json={"refresh_token": mine["refresh_token"]})
    assert next_one.status_code == 401
    (event,) = await door.events("reeve.session.ended.v1")
    assert (event.data["reason"], event.severity) == ("refresh_token_reused", "error")
    assert (await door.call("GET", "/auth/me", token=other["access_token"])).status_code == 200


async def test_an_unknown_refresh_token_is_refused(door: Door) -> None:
    answer = await door.call("POST", "/auth/refresh", json={"refresh_token": "guessed"})
    assert (answer.status_code, answer.json()["detail"]["error"]) == (401, "invalid_token")


async def test_neither_passwords_nor_refresh_tokens_are_stored_readably(door: Door) -> None:
    tokens = await door.sign_in()
    dumped = str(
        await door.run_sql(
            "SELECT u::text FROM users u UNION ALL SELECT r::text FROM refresh_tokens r UNION ALL SELECT convert_from(body, 'UTF8') FROM outbox"
        )
    )
    assert PASSWORD not in dumped
    assert tokens["refresh_token"] not in dumped
    assert tokens["access_token"] not in dumped
    assert "$argon2id$" in dumped


async def test_a_session_ends_by_itself(gateway_database: Database) -> None:
    async with open_door(gateway_database, absolute_seconds="2") as door:
        tokens = await door.sign_in()
        assert tokens["expires_in"] <= 2
        await door.run_sql("UPDATE sessions SET expires_at = now() - interval '1 second'")
        door.access.evict()
        assert (await door.call("GET", "/auth/me", token=tokens["access_token"])).status_code == 401
        answer = await door.call("POST", "/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
        assert answer.status_code == 401


async def test_a_switched_off_account_is_out_at_its_next_lookup(door: Door) -> None:
    token = await door.token_of("admin")
    assert (await door.call("GET", "/auth/me", token=token)).status_code == 200
    await door.run_sql("UPDATE users SET is_active = false WHERE email = 'admin@example.com'")
    door.access.evict(user_id=door.access.tokens.verify(token).user_id)
    assert (await door.call("GET", "/auth/me", token=token)).status_code == 401


async def test_the_last_use_of_a_session_is_noted_at_most_once_a_minute(door: Door) -> None:
    token = await door.token_of("super_admin")
    a_while_ago = datetime.now(UTC) - timedelta(minutes=5)
    await door.run_sql("UPDATE sessions SET last_seen_at = :at", at=a_while_ago)
    door.access.evict()
    await door.call("GET", "/auth/me", token=token)
    (first,) = await door.run_sql("SELECT last_seen_at FROM sessions")
    door.access.evict()
    await door.call("GET", "/auth/me", token=token)
    (second,) = await door.run_sql("SELECT last_seen_at FROM sessions")
    assert first.last_seen_at > a_while_ago
    assert second == first


async def test_the_first_admin_is_made_once(door: Door) -> None:
    assert await ensure_first_admin(door.database, "second@example.com", None, hasher=door.access.passwords) is None
    assert len(await door.events("reeve.user.created.v1")) == 1


async def test_a_generated_password_lets_the_first_admin_in(gateway_database: Database) -> None:
    access = new_door_access(gateway_database)
    password = await ensure_first_admin(gateway_database, SUPER_ADMIN, None, hasher=access.passwords)
    assert password is not None
    async with open_door(gateway_database) as door:
        assert (await door.sign_in(SUPER_ADMIN, password))["admin"]["role"] == "super_admin"
