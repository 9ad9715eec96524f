"""A browser in a session by cookie: signed in, proven anew, changed, ended, and never by another's cookie."""

import re
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from starlette.requests import HTTPConnection, Request

from libs.common.errors import Unauthenticated
from services.gateway.access.browser_cookies import SESSION_COOKIE
from services.gateway.access.buckets import TokenBucketRateLimiter
from services.gateway.access.cross_site import CsrfFailed
from services.gateway.access.guard import any_admin
from services.gateway.access.limits import new_limits
from services.gateway.access.memory_buckets import MemoryBuckets
from services.gateway.features.stream.routes import still_allowed
from services.gateway.stream.topics import Topic
from tests.integration.gateway.access.browser import PAGE, BrowserAtDoor
from tests.integration.gateway.access.door import PASSWORD, SUPER_ADMIN, Door, new_door_access

LINE = re.compile(r"__Host-reeve-session=[A-Za-z0-9_-]{96}; Path=/; Secure; HttpOnly; SameSite=Strict")
CLEARED = "__Host-reeve-session=; Max-Age=0; Path=/; Secure; HttpOnly; SameSite=Strict"


@pytest.fixture
def browser(door: Door) -> BrowserAtDoor:
    return BrowserAtDoor(door)


def error_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["detail"]["error"]


async def test_who_signs_in_from_a_page_gets_a_cookie_and_no_token(door: Door, browser: BrowserAtDoor) -> None:
    answer = await browser.sign_in()
    (line,) = answer.headers.get_list("set-cookie")
    assert LINE.fullmatch(line)
    assert set(answer.json()) == {"admin", "expires_at"}
    assert "token" not in answer.text
    assert answer.headers["cache-control"] == "no-store"
    me = await browser.ask("GET", "/auth/me")
    assert (me.status_code, me.json()["email"]) == (200, SUPER_ADMIN)
    assert await door.run_sql("SELECT 1 FROM refresh_tokens") == []
    (row,) = await door.run_sql("SELECT id::text AS id FROM sessions")
    listed = (await browser.ask("GET", "/sessions")).json()["sessions"]
    assert [(one["id"], one["is_current"]) for one in listed] == [(row.id, True)]
    started = await door.events("reeve.session.started.v1")
    assert browser.cookie is not None
    assert all(browser.cookie not in str(event) for event in started)


async def test_without_asking_for_it_nobody_gets_a_cookie(door: Door) -> None:
    answer = await door.call("POST", "/auth/login", json={"email": SUPER_ADMIN, "password": PASSWORD})
    assert "set-cookie" not in answer.headers
    assert "access_token" in answer.json()


async def test_what_the_database_holds_is_no_cookie(door: Door, browser: BrowserAtDoor) -> None:
    await browser.sign_in()
    (row,) = await door.run_sql("SELECT id::text AS id, device_hash FROM sessions")
    for value in (row.id, row.id.replace("-", ""), row.device_hash.hex(), ""):
        browser.cookie = value
        assert error_of(await browser.ask("GET", "/auth/me")) == (401, "invalid_session")


async def test_a_planted_session_ends_when_somebody_signs_in_over_it(door: Door, browser: BrowserAtDoor) -> None:
    await door.make_user(role="viewer", email="mallory@example.com")
    mallory = BrowserAtDoor(door)
    await mallory.sign_in("mallory@example.com")
    planted = browser.cookie = mallory.cookie
    assert (await browser.ask("GET", "/auth/me")).json()["email"] == "mallory@example.com"
    await browser.sign_in()
    assert browser.cookie not in (None, planted)
    assert (await browser.ask("GET", "/auth/me")).json()["email"] == SUPER_ADMIN
    assert error_of(await mallory.ask("GET", "/auth/me")) == (401, "invalid_session")
    (ended,) = await door.events("reeve.session.ended.v1")
    assert ended.data["reason"] == "displaced"


async def test_a_failed_sign_in_ends_nothing_and_sets_nothing(browser: BrowserAtDoor) -> None:
    await browser.sign_in()
    before = browser.cookie
    answer = await browser.from_page("POST", "/auth/login", json={"email": SUPER_ADMIN, "password": "wrong password"})
    assert error_of(answer) == (401, "invalid_credentials")
    assert "set-cookie" not in answer.headers
    assert browser.cookie == before
    assert (await browser.ask("GET", "/auth/me")).status_code == 200


async def test_a_step_up_replaces_the_cookie_and_the_old_one_is_dead(door: Door, browser: BrowserAtDoor) -> None:
    await browser.sign_in()
    elsewhere = new_door_access(door.database)
    old = browser.cookie
    assert old is not None
    await elsewhere.authenticate_cookie(old)  # Another instance, which knows the session from before.
    answer = await browser.from_page("POST", "/auth/step-up", json={"password": PASSWORD})
    assert answer.status_code == 200, answer.text
    assert set(answer.json()) == {"expires_at"}
    new = browser.cookie
    assert new not in (None, old)
    assert (await browser.ask("GET", "/auth/me")).status_code == 200
    assert new is not None
    await elsewhere.authenticate_cookie(new)
    browser.cookie = old
    assert error_of(await browser.ask("GET", "/auth/me")) == (401, "invalid_session")
    with pytest.raises(Unauthenticated):
        await elsewhere.authenticate_cookie(old)
    elsewhere.close()


async def test_an_open_stream_is_asked_again_by_the_cookie_that_opened_it(door: Door, browser: BrowserAtDoor) -> None:
    await browser.sign_in()
    cookie = (b"cookie", f"{SESSION_COOKIE}={browser.cookie}".encode())
    request = Request({"type": "http", "method": "GET", "app": door.app, "headers": [cookie], "state": {}})
    topics = frozenset({Topic.AUDIT})
    assert await still_allowed(request, topics)
    await browser.from_page("POST", "/auth/step-up", json={"password": PASSWORD})
    assert not await still_allowed(request, topics)


async def test_another_instance_forgets_the_old_cookie_by_the_event(door: Door, browser: BrowserAtDoor) -> None:
    await browser.sign_in()
    elsewhere = new_door_access(door.database)
    old = browser.cookie
    assert old is not None
    await elsewhere.authenticate_cookie(old)
    await browser.from_page("POST", "/auth/step-up", json={"password": PASSWORD})
    (event,) = await door.events("reeve.session.proved.v1")
    elsewhere.apply_event(event)
    with pytest.raises(Unauthenticated):
        await elsewhere.authenticate_cookie(old)
    elsewhere.close()


async def test_in_another_role_the_cookie_is_dead(door: Door, browser: BrowserAtDoor) -> None:
    user = await door.make_user(role="viewer", email="vera@example.com")
    await browser.sign_in("vera@example.com")
    changed = await door.call(
        "PUT", f"/users/{user['id']}/role", token=await door.token_of("super_admin"), json={"role": "moderator"}
    )
    assert changed.status_code == 200, changed.text
    assert error_of(await browser.ask("GET", "/auth/me")) == (401, "invalid_session")
    await browser.sign_in("vera@example.com")
    assert (await browser.ask("GET", "/auth/me")).json()["role"] == "moderator"


async def test_what_is_granted_for_a_time_leaves_the_cookie_as_it_is(door: Door, browser: BrowserAtDoor) -> None:
    await door.make_user(role="viewer", email="vera@example.com")
    await browser.sign_in("vera@example.com")
    asked = await browser.from_page(
        "POST", "/access/requests", json={"permission": "settings:write", "reason": "the big move"}
    )
    assert asked.status_code == 201, asked.text
    until = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    path = f"/access/requests/{asked.json()['id']}/approve"
    approved = await door.call("POST", path, token=await door.token_of("super_admin"), json={"until": until})
    assert approved.status_code == 200, approved.text
    assert (await browser.from_page("PUT", "/samples/theme", json={"value": 1})).status_code == 200


async def test_what_needs_a_fresh_proof_asks_for_a_step_up(door: Door, browser: BrowserAtDoor) -> None:
    await browser.sign_in()
    body = {"name": "Shop", "scopes": [], "source": "/platform/shop", "event_types": []}
    await door.run_sql("UPDATE sessions SET proved_at = proved_at - interval '301 seconds'")
    (row,) = await door.run_sql("SELECT id::text AS id, proved_at FROM sessions")
    line = door.access.cookies.write(session_id=row.id, proved_at=row.proved_at, role="super_admin")
    door.access.evict()
    browser.cookie = line.partition("=")[2].partition(";")[0]
    for method, path, sent in (("POST", "/clients", body), ("POST", "/auth/mfa/totp", None)):
        assert error_of(await browser.from_page(method, path, json=sent)) == (401, "step_up_required")
    await browser.from_page("POST", "/auth/step-up", json={"password": PASSWORD})
    assert (await browser.from_page("POST", "/clients", json=body)).status_code == 201
    assert (await browser.from_page("POST", "/auth/mfa/totp")).status_code == 200


async def test_signing_out_ends_the_session_and_clears_the_cookie(door: Door, browser: BrowserAtDoor) -> None:
    await browser.sign_in()
    value = browser.cookie
    answer = await browser.from_page("POST", "/auth/logout")
    assert (answer.status_code, answer.headers.get_list("set-cookie")) == (204, [CLEARED])
    assert browser.cookie is None
    assert error_of(await browser.ask("GET", "/auth/me")) == (401, "not_authenticated")
    browser.cookie = value
    assert error_of(await browser.ask("GET", "/auth/me")) == (401, "invalid_session")
    token = (await door.sign_in())["access_token"]
    assert "set-cookie" not in (await door.call("POST", "/auth/logout", token=token)).headers


async def test_a_session_that_somebody_else_ends_ends_the_cookie(door: Door, browser: BrowserAtDoor) -> None:
    await browser.sign_in()
    (session,) = (await browser.ask("GET", "/sessions")).json()["sessions"]
    ended = await door.call("DELETE", f"/sessions/{session['id']}", token=await door.token_of("super_admin"))
    assert ended.status_code == 204
    assert error_of(await browser.ask("GET", "/auth/me")) == (401, "invalid_session")


@pytest.mark.parametrize("column", ["last_seen_at", "expires_at"])
async def test_both_limits_of_a_session_end_the_cookie(door: Door, browser: BrowserAtDoor, column: str) -> None:
    await browser.sign_in()
    await door.run_sql(f"UPDATE sessions SET {column} = now() - interval '2 hours'")
    door.access.evict()
    assert error_of(await browser.ask("GET", "/auth/me")) == (401, "invalid_session")


@pytest.mark.parametrize("authorization", ["Bearer made.up.token", "Basic YWxhZGRpbjpvcGVu", "Bearer", ""])
async def test_an_authorization_header_decides_alone(browser: BrowserAtDoor, authorization: str) -> None:
    await browser.sign_in()
    answer = await browser.ask("GET", "/auth/me", headers={"Authorization": authorization})
    assert error_of(answer) == (401, "invalid_token")


async def test_with_a_token_beside_it_the_cookie_counts_for_nothing(door: Door, browser: BrowserAtDoor) -> None:
    await door.token_of("viewer")
    await browser.sign_in()
    headers = {"Authorization": f"Bearer {await door.token_of('viewer')}", "Origin": "https://evil.example"}
    answer = await browser.ask("GET", "/auth/me", headers=headers)
    assert (answer.status_code, answer.json()["role"]) == (200, "viewer")
    written = await browser.ask("PUT", "/samples/theme", headers=headers, json={"value": 1})
    assert error_of(written) == (403, "admin_permission_required")


@pytest.mark.parametrize("position", ["before", "behind", "in a header of its own"])
async def test_a_cookie_that_a_sibling_planted_beside_ours_lets_nobody_in(
    door: Door, browser: BrowserAtDoor, position: str
) -> None:
    await door.make_user(role="viewer", email="mallory@example.com")
    mallory = BrowserAtDoor(door)
    await mallory.sign_in("mallory@example.com")
    await browser.sign_in()
    pair = [f"{SESSION_COOKIE}={mallory.cookie}", f"{SESSION_COOKIE}={browser.cookie}"]
    if position == "behind":
        pair.reverse()
    headers = [("cookie", one) for one in pair] if position.startswith("in") else [("cookie", "; ".join(pair))]
    answer = await door.client.get("/api/v1/admin/auth/me", headers=headers)
    assert error_of(answer) == (401, "invalid_session")
    # Nor does a sign-in guess which of both it ends.
    body = {"email": SUPER_ADMIN, "password": PASSWORD}
    again = await door.client.post("/api/v1/admin/auth/login", json=body, headers=[*headers, *PAGE.items()])
    assert again.status_code == 200
    assert await door.events("reeve.session.ended.v1") == []


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Reeve-Session": "cookie"},
        {**PAGE, "Origin": "https://evil.example"},
        {**PAGE, "Origin": "null"},
        {**PAGE, "Sec-Fetch-Site": "cross-site"},
        {**PAGE, "Sec-Fetch-Site": "same-site"},
        {**PAGE, "X-Reeve-Session": "token"},
    ],
    ids=["no sign", "foreign origin", "null", "cross-site", "same-site", "another mark"],
)
async def test_no_other_page_signs_anybody_in(door: Door, browser: BrowserAtDoor, headers: dict[str, str]) -> None:
    answer = await browser.ask(
        "POST", "/auth/login", headers=headers, json={"email": SUPER_ADMIN, "password": PASSWORD}
    )
    assert error_of(answer) == (403, "csrf_failed")
    assert "set-cookie" not in answer.headers
    assert await door.run_sql("SELECT 1 FROM sessions") == []


async def test_a_refusal_costs_the_one_whose_cookie_it_is_nothing_of_their_limit(
    door: Door, browser: BrowserAtDoor
) -> None:
    await browser.sign_in()
    # Slow enough that nothing is filled up meanwhile.
    limiter = TokenBucketRateLimiter(MemoryBuckets())
    door.access.limits = new_limits(caller="1000/day", login="1000/day", limiter=limiter)

    async def left() -> str:
        return (await browser.ask("GET", "/auth/me")).headers["ratelimit"]

    before = await left()
    for _ in range(3):
        answer = await browser.ask("POST", "/auth/logout", headers={"Origin": "https://evil.example"})
        assert error_of(answer) == (403, "csrf_failed")
    assert door.watch.state["caller"].actor.username == SUPER_ADMIN
    after = await left()
    remaining = [int(text.partition("r=")[2].partition(";")[0]) for text in (before, after)]
    assert remaining[0] - remaining[1] == 1


async def test_the_guard_of_a_websocket_wants_our_origin(door: Door, browser: BrowserAtDoor) -> None:
    await browser.sign_in()
    guard = any_admin(action="listen")

    async def knock(*more: tuple[bytes, bytes]) -> str:
        cookie = (b"cookie", f"{SESSION_COOKIE}={browser.cookie}".encode())
        scope = {"type": "websocket", "app": door.app, "path_params": {}, "headers": [cookie, *more], "state": {}}
        return (await guard(HTTPConnection(scope))).actor.username

    assert await knock((b"origin", b"https://reeve.test")) == SUPER_ADMIN
    for headers in ((), ((b"origin", b"https://evil.example"),), ((b"sec-fetch-site", b"same-origin"),)):
        with pytest.raises(CsrfFailed):
            await knock(*headers)
