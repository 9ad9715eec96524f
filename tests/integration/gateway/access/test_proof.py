"""Proving once more who one is: another password, and a fresh proof for what is dangerous."""

import asyncio
import time
from typing import Any

import pytest

from libs.common.database.engine import Database
from libs.common.ids import new_id
from services.gateway.features.auth import store
from tests.integration.gateway.access.door import PASSWORD, SUPER_ADMIN, Door, open_door

NEW = "another horse battery"
CHALLENGE = 'Bearer error="insufficient_user_authentication", max_age=300'


async def change(door: Door, token: str, old: str = PASSWORD, new: str = NEW) -> Any:
    return await door.call("PUT", "/auth/password", token=token, json={"old_password": old, "new_password": new})


def aged(door: Door, token: str, seconds: int) -> str:
    """A token of the same session whose proof is older."""
    claims = door.access.tokens.verify(token)
    assert claims.sid is not None
    return door.access.tokens.for_session(
        user_id=claims.sub, session_id=claims.sid, scope=claims.scope, session_ends_at=2**40,
        signed_in_at=int(time.time()) - seconds,
    ).text  # fmt: skip


async def test_another_password_holds_from_now_on_and_the_old_one_no_longer(door: Door) -> None:
    token = await door.token_of("viewer")
    answer = await change(door, token)
    assert (answer.status_code, answer.content) == (204, b"")
    assert (await door.sign_in("viewer@example.com", NEW))["admin"]["role"] == "viewer"
    old = await door.call("POST", "/auth/login", json={"email": "viewer@example.com", "password": PASSWORD})
    assert old.status_code == 401


async def test_all_other_sessions_end_with_the_old_password(door: Door) -> None:
    token = await door.token_of("viewer")
    others = [await door.sign_in("viewer@example.com") for _ in range(2)]
    stranger = await door.token_of("admin")
    await change(door, token)
    for one in others:
        assert (await door.call("GET", "/auth/me", token=one["access_token"])).status_code == 401
        refreshed = await door.call("POST", "/auth/refresh", json={"refresh_token": one["refresh_token"]})
        assert refreshed.status_code == 401
    for kept in (token, stranger):
        assert (await door.call("GET", "/auth/me", token=kept)).status_code == 200
    assert [one.data["reason"] for one in await door.events("reeve.session.ended.v1")] == ["password_changed"] * 2
    (event,) = await door.events("reeve.user.password_changed.v1")
    assert (event.data["sessions_ended"], event.severity) == (2, "warning")
    assert event.subject == f"user/{door.access.tokens.verify(token).sub}"
    assert NEW not in str(await door.run_sql("SELECT convert_from(body, 'UTF8') FROM outbox"))


async def test_a_wrong_old_password_changes_nothing(door: Door) -> None:
    token = await door.token_of("viewer")
    other = (await door.sign_in("viewer@example.com"))["access_token"]
    answer = await change(door, token, old="not my password")
    assert (answer.status_code, answer.json()["detail"]["error"]) == (401, "invalid_credentials")
    assert door.watch.state["action"] == "change_password"
    assert "recorded" not in door.watch.state
    assert (await door.call("GET", "/auth/me", token=other)).status_code == 200
    assert await door.sign_in("viewer@example.com", PASSWORD)


@pytest.mark.parametrize("new", ["short", "x" * 257, ""])
async def test_a_password_that_nobody_may_have_is_refused(door: Door, new: str) -> None:
    assert (await change(door, await door.token_of("viewer"), new=new)).status_code == 422


async def test_of_two_changes_at_once_one_is_made(door: Door) -> None:
    token = await door.token_of("viewer")
    answers = await asyncio.gather(*(change(door, token, new=f"{NEW} {number}") for number in range(4)))
    assert sorted(answer.status_code for answer in answers) == [204, 401, 401, 401]
    (made,) = [number for number, answer in enumerate(answers) if answer.status_code == 204]
    assert await door.sign_in("viewer@example.com", f"{NEW} {made}")


async def test_guesses_are_counted_per_account_over_both_ways_to_guess(gateway_database: Database) -> None:
    async with open_door(gateway_database, login_rate_limit="5/minute") as door:
        token = await door.token_of("super_admin")
        guesses = [await change(door, token, old="a guess") for _ in range(3)]
        guesses += [
            await door.call("POST", "/auth/step-up", token=token, json={"password": "a guess"}) for _ in range(3)
        ]
        assert [one.status_code for one in guesses] == [401] * 5 + [429]
        assert guesses[-1].headers["ratelimit-policy"] == '"login";q=5;w=60'
        assert (await change(door, token)).status_code == 429


async def test_a_sign_in_with_a_password_that_was_changed_meanwhile_starts_nothing(door: Door) -> None:
    await door.token_of("viewer")
    (row,) = await door.run_sql("SELECT id::text, password_hash FROM users WHERE role = 'viewer'")
    started = []
    for proved_hash in (row.password_hash, "$argon2id$another"):
        async with door.database.transaction() as session:
            started.append(
                await store.append_session(
                    session,
                    new_id(),
                    user_id=row.id,
                    proved_hash=proved_hash,
                    ip_address=None,
                    user_agent=None,
                    device_hash=b"d" * 32,
                    seconds=60,
                )
            )
    assert started[0] is not None
    assert started[1] is None


async def test_a_step_up_gives_a_new_token_of_the_same_session_with_a_fresh_proof(door: Door) -> None:
    tokens = await door.sign_in()
    await door.run_sql("UPDATE sessions SET proved_at = now() - interval '1 hour'")
    answer = await door.call("POST", "/auth/step-up", token=tokens["access_token"], json={"password": PASSWORD})
    body = answer.json()
    assert (answer.status_code, set(body)) == (200, {"access_token", "token_type", "expires_in"})
    old, new = (door.access.tokens.verify(text) for text in (tokens["access_token"], body["access_token"]))
    assert (old.sid, old.sub) == (new.sid, new.sub)
    assert old.jti != new.jti
    assert new.auth_time is not None
    assert abs(new.auth_time - time.time()) < 10
    (event,) = await door.events("reeve.session.proved.v1")
    assert (event.data["session_id"], event.actorid) == (new.sid, new.sub)
    refreshed = await door.call("POST", "/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
    assert door.access.tokens.verify(refreshed.json()["access_token"]).auth_time == new.auth_time


async def test_a_refresh_is_no_proof(door: Door) -> None:
    tokens = await door.sign_in()
    await door.run_sql("UPDATE sessions SET proved_at = now() - interval '1 hour'")
    refreshed = await door.call("POST", "/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
    made = await register(door, refreshed.json()["access_token"])
    assert made.json()["detail"]["error"] == "step_up_required"


async def test_a_wrong_password_is_no_proof(door: Door) -> None:
    token = await door.token_of("viewer")
    answer = await door.call("POST", "/auth/step-up", token=token, json={"password": "wrong"})
    assert (answer.status_code, answer.json()["detail"]["error"]) == (401, "invalid_credentials")
    assert await door.events("reeve.session.proved.v1") == []


async def register(door: Door, token: str) -> Any:
    body = {"name": "Shop", "scopes": [], "source": f"/platform/{new_id()}", "event_types": []}
    return await door.call("POST", "/clients", token=token, json=body)


async def test_what_is_dangerous_needs_a_proof_of_the_last_five_minutes(door: Door) -> None:
    token = await door.token_of("super_admin")
    refused = await register(door, aged(door, token, 301))
    assert (refused.status_code, refused.headers["www-authenticate"]) == (401, CHALLENGE)
    assert refused.json()["detail"]["error"] == "step_up_required"
    assert refused.json()["detail"]["max_age"] == 300
    assert (await register(door, aged(door, token, 290))).status_code == 201
    stepped = await door.call("POST", "/auth/step-up", token=aged(door, token, 301), json={"password": PASSWORD})
    assert (await register(door, stepped.json()["access_token"])).status_code == 201


@pytest.mark.parametrize(("role", "is_dangerous"), [("super_admin", True), ("admin", True), ("moderator", False)])
async def test_giving_power_needs_a_fresh_proof_and_giving_little_does_not(
    door: Door, role: str, is_dangerous: bool
) -> None:
    somebody = await door.make_user(role="viewer", email="somebody@example.com")
    stale = aged(door, await door.token_of("super_admin"), 301)
    changed = await door.call("PUT", f"/users/{somebody['id']}/role", token=stale, json={"role": role})
    body = {"email": "new@example.com", "name": "New", "role": role}
    made = await door.call("POST", "/users", token=stale, json=body)
    assert [changed.status_code, made.status_code] == ([401, 401] if is_dangerous else [200, 201])
    if is_dangerous:
        assert {one.headers["www-authenticate"] for one in (changed, made)} == {CHALLENGE}
        (row,) = await door.run_sql("SELECT role FROM users WHERE email = 'somebody@example.com'")
        assert row.role == "viewer"


async def test_who_may_not_is_told_so_before_any_proof_is_asked_for(door: Door) -> None:
    assert (await register(door, aged(door, await door.token_of("viewer"), 301))).status_code == 403


async def test_a_clients_proof_is_its_token(door: Door) -> None:
    client_id, secret = await door.make_client(scopes=["roles:write"])
    token = (await door.client_token(client_id, secret)).json()["access_token"]
    assert (await register(door, token)).status_code == 201


async def test_the_first_sign_in_is_a_fresh_proof(door: Door) -> None:
    assert (await register(door, (await door.sign_in(SUPER_ADMIN))["access_token"])).status_code == 201
