"""Who is signed in from where: listed for those who may see it, ended by those who may end it."""

import asyncio
from typing import Any

import pytest

from libs.common.database.engine import Database
from libs.common.ids import new_id
from services.gateway.access.endings import MOST_SESSIONS
from services.gateway.access.lifetimes import Lifetimes
from services.gateway.features.sessions.commands import MOST_SWEPT, sweep_once
from tests.integration.gateway.access.door import SUPER_ADMIN, Door, new_door_access, open_door

FIELDS = {
    "id", "user_id", "ip_address", "user_agent", "login_at", "last_seen_at", "expires_at", "logout_at", "end_reason",
    "is_active", "is_current",
}  # fmt: skip


async def sessions_seen(door: Door, token: str, query: str = "") -> list[dict[str, Any]]:
    answer = await door.call("GET", f"/sessions{query}", token=token)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["sessions"]
    return found


def session_of(door: Door, token: str) -> str:
    found = door.access.tokens.verify(token).sid
    assert found is not None
    return found


async def test_everybody_sees_their_own_sessions_newest_first(door: Door) -> None:
    await door.token_of("admin")
    first, second = await door.token_of("moderator"), (await door.sign_in("moderator@example.com"))["access_token"]
    seen = await sessions_seen(door, second)
    assert [one["id"] for one in seen] == [session_of(door, second), session_of(door, first)]
    assert [(one["is_current"], one["is_active"]) for one in seen] == [(True, True), (False, True)]
    assert all(set(one) == FIELDS for one in seen)
    assert (seen[0]["ip_address"], seen[0]["logout_at"]) == ("203.0.113.7", None)


async def test_all_sessions_and_anothers_are_for_those_who_may_read_them(door: Door) -> None:
    moderator, viewer = await door.token_of("moderator"), await door.token_of("viewer")
    moderators = (await door.call("GET", "/auth/me", token=moderator)).json()["id"]
    assert {one["user_id"] for one in await sessions_seen(door, viewer, f"?user_id={moderators}")} == {moderators}
    assert len(await sessions_seen(door, viewer, "?all=true")) == 3
    viewers = (await door.call("GET", "/auth/me", token=viewer)).json()["id"]
    for query in ("?all=true", f"?user_id={viewers}", f"?user_id={new_id()}"):
        refused = await door.call("GET", f"/sessions{query}", token=moderator)
        assert (refused.status_code, refused.json()["detail"]["required_permission"]) == (403, "sessions:read")
        assert door.watch.state["permission"] == "sessions:read"
    assert (await door.call("GET", f"/sessions?user_id={moderators}", token=moderator)).status_code == 200


async def test_two_ways_to_say_whose_at_once_are_refused(door: Door) -> None:
    answer = await door.call("GET", f"/sessions?all=true&user_id={new_id()}", token=await door.token_of("viewer"))
    assert (answer.status_code, answer.json()["detail"]["error"]) == (422, "conflicting_filters")


async def test_a_client_with_the_scope_is_shown_everybodys(door: Door) -> None:
    client_id, secret = await door.make_client(scopes=["sessions:read"])
    token = (await door.client_token(client_id, secret)).json()["access_token"]
    assert [one["is_current"] for one in await sessions_seen(door, token)] == [False]
    assert (await door.call("DELETE", f"/sessions/{new_id()}", token=token)).status_code == 403


async def test_pages_follow_each_other(door: Door) -> None:
    tokens = [(await door.sign_in())["access_token"] for _ in range(5)]
    first = (await door.call("GET", "/sessions?limit=2", token=tokens[0])).json()
    assert (first["total"], first["total_is_exact"], first["limit"], first["skip"]) == (5, True, 2, 0)
    seen = [one["id"] for one in first["sessions"]]
    cursor = first["next_cursor"]
    while cursor is not None:
        page = (await door.call("GET", f"/sessions?limit=2&cursor={cursor}", token=tokens[0])).json()
        seen += [one["id"] for one in page["sessions"]]
        cursor = page["next_cursor"]
    assert seen == [session_of(door, token) for token in reversed(tokens)]
    foreign = await door.call("GET", f"/sessions?all=true&cursor={first['next_cursor']}", token=tokens[0])
    assert foreign.json()["detail"]["error"] == "invalid_cursor"


async def test_a_session_that_works_no_more_is_not_active_whatever_ended_it(door: Door) -> None:
    mine = await door.token_of("super_admin")
    signed_out, idle, expired = [session_of(door, (await door.sign_in())["access_token"]) for _ in range(3)]
    switched_off = session_of(door, await door.token_of("viewer"))
    await door.call("DELETE", f"/sessions/{signed_out}", token=mine)
    hour = "interval '1 hour'"
    await door.run_sql(f"UPDATE sessions SET last_seen_at = now() - {hour} WHERE id = :id", id=idle)
    await door.run_sql("UPDATE sessions SET expires_at = now() WHERE id = :id", id=expired)
    await door.run_sql("UPDATE users SET is_active = false WHERE role = 'viewer'")
    active = {one["id"] for one in await sessions_seen(door, mine, "?all=true&is_active=true")}
    assert active == {session_of(door, mine)}
    ended = await sessions_seen(door, mine, "?all=true&is_active=false")
    assert {one["id"] for one in ended} == {signed_out, idle, expired, switched_off}
    assert not any(one["is_active"] for one in ended)


async def test_ending_a_session_stops_its_tokens_everywhere_and_leaves_the_event(door: Door) -> None:
    elsewhere = new_door_access(door.database)
    keeper, lost = await door.token_of("super_admin"), await door.sign_in()
    token = lost["access_token"]
    await elsewhere.authenticate(token)
    answer = await door.call("DELETE", f"/sessions/{session_of(door, token)}", token=keeper)
    assert (answer.status_code, answer.content) == (204, b"")
    assert door.watch.state["recorded"] is True
    assert (await door.call("GET", "/auth/me", token=token)).status_code == 401
    refreshed = await door.call("POST", "/auth/refresh", json={"refresh_token": lost["refresh_token"]})
    assert refreshed.status_code == 401
    (event,) = await door.events("reeve.session.ended.v1")
    assert (event.data["reason"], event.data["action"], event.severity) == ("revoked", "end_session", "warning")
    assert event.subject == f"session/{session_of(door, token)}"
    elsewhere.apply_event(event)
    assert elsewhere._admins.find(session_of(door, token)) is None
    assert (await door.call("GET", "/auth/me", token=keeper)).status_code == 200


async def test_ending_it_again_is_no_error_and_leaves_no_second_event(door: Door) -> None:
    keeper = await door.token_of("super_admin")
    lost = session_of(door, (await door.sign_in())["access_token"])
    for _ in range(2):
        assert (await door.call("DELETE", f"/sessions/{lost}", token=keeper)).status_code == 204
    assert door.watch.state["recorded"] is False
    assert len(await door.events("reeve.session.ended.v1")) == 1


@pytest.mark.parametrize("role", ["admin", "moderator", "viewer"])
async def test_anothers_session_and_none_at_all_are_refused_alike(door: Door, role: str) -> None:
    token, foreign = await door.token_of(role), session_of(door, await door.token_of("super_admin"))
    answers = {}
    for id_ in (foreign, new_id()):
        answer = await door.call("DELETE", f"/sessions/{id_}", token=token)
        answers[id_] = (answer.status_code, answer.text.replace(id_, "..."), set(answer.headers))
    assert answers[foreign][:2] == (404, '{"detail":{"error":"session_not_found","message":"no session ..."}}')
    assert len(set(map(str, answers.values()))) == 1
    assert (await door.call("GET", "/auth/me", token=await door.token_of("super_admin"))).status_code == 200


async def test_everybody_may_end_their_own(door: Door) -> None:
    keeper, other = await door.token_of("viewer"), (await door.sign_in("viewer@example.com"))["access_token"]
    assert (await door.call("DELETE", f"/sessions/{session_of(door, other)}", token=keeper)).status_code == 204
    assert (await door.call("GET", "/auth/me", token=other)).status_code == 401


async def test_an_accounts_sessions_are_listed_and_ended_together(door: Door) -> None:
    mine, theirs = await door.token_of("super_admin"), await door.token_of("viewer")
    also_theirs = (await door.sign_in("viewer@example.com"))["access_token"]
    viewer = (await door.call("GET", "/auth/me", token=theirs)).json()["id"]
    listed = (await door.call("GET", f"/users/{viewer}/sessions", token=mine)).json()["sessions"]
    assert {one["id"] for one in listed} == {session_of(door, theirs), session_of(door, also_theirs)}
    assert (await door.call("DELETE", f"/users/{viewer}/sessions", token=mine)).status_code == 204
    for token in (theirs, also_theirs):
        assert (await door.call("GET", "/auth/me", token=token)).status_code == 401
    assert len(await door.events("reeve.session.ended.v1")) == 2


async def test_ones_own_account_may_spare_the_session_that_asks(door: Door) -> None:
    mine, other = await door.token_of("viewer"), (await door.sign_in("viewer@example.com"))["access_token"]
    me = (await door.call("GET", "/auth/me", token=mine)).json()["id"]
    path = f"/users/{me.upper()}/sessions"
    assert (await door.call("DELETE", f"{path}?spare_current=true", token=mine)).status_code == 204
    assert (await door.call("GET", "/auth/me", token=other)).status_code == 401
    assert (await door.call("GET", path, token=mine)).status_code == 200
    assert (await door.call("DELETE", path, token=mine)).status_code == 204
    assert (await door.call("GET", "/auth/me", token=mine)).status_code == 401


async def test_without_the_permission_anothers_account_is_refused_before_it_is_looked_up(door: Door) -> None:
    token = await door.token_of("moderator")
    admin = (await door.call("GET", "/auth/me", token=await door.token_of("super_admin"))).json()["id"]
    for method, needed in (("GET", "sessions:read"), ("DELETE", "sessions:revoke")):
        for id_ in (admin, new_id()):
            answer = await door.call(method, f"/users/{id_}/sessions", token=token)
            assert (answer.status_code, answer.json()["detail"]["required_permission"]) == (403, needed)


async def test_nobody_ends_the_sessions_of_somebody_above_them(door: Door) -> None:
    """No built-in role below `super_admin` may end others' sessions, but a client may be given that alone."""
    above = await door.token_of("super_admin")
    client_id, secret = await door.make_client(scopes=["sessions:revoke"])
    token = (await door.client_token(client_id, secret)).json()["access_token"]
    me = (await door.call("GET", "/auth/me", token=above)).json()["id"]
    for path in (f"/sessions/{session_of(door, above)}", f"/users/{me}/sessions"):
        answer = await door.call("DELETE", path, token=token)
        assert (answer.status_code, answer.json()["detail"]["error"]) == (403, "insufficient_role")
    assert (await door.call("GET", "/auth/me", token=above)).status_code == 200


async def test_the_sessions_of_nobody_are_not_found(door: Door) -> None:
    token = await door.token_of("super_admin")
    for method in ("GET", "DELETE"):
        answer = await door.call(method, f"/users/{new_id()}/sessions", token=token)
        assert (answer.status_code, answer.json()["detail"]["error"]) == (404, "user_not_found")


async def unused_for(door: Door, seconds: float) -> None:
    await door.run_sql("UPDATE sessions SET last_seen_at = now() - make_interval(secs => :s)", s=seconds)
    door.access.evict()


async def test_a_session_that_nobody_uses_ends_for_access_and_refresh_alike(gateway_database: Database) -> None:
    async with open_door(gateway_database, idle_seconds="100") as door:
        tokens = await door.sign_in()
        assert tokens["expires_in"] == 100
        await unused_for(door, 99)
        assert (await door.call("GET", "/auth/me", token=tokens["access_token"])).status_code == 200
        await unused_for(door, 100)
        assert (await door.call("GET", "/auth/me", token=tokens["access_token"])).status_code == 401
        answer = await door.call("POST", "/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
        assert (answer.status_code, answer.json()["detail"]["error"]) == (401, "invalid_token")


async def test_a_request_and_a_refresh_each_count_as_use(gateway_database: Database) -> None:
    async with open_door(gateway_database, idle_seconds="100") as door:
        tokens = await door.sign_in()
        await unused_for(door, 60)
        assert (await door.call("GET", "/auth/me", token=tokens["access_token"])).status_code == 200
        (row,) = await door.run_sql("SELECT now() - last_seen_at < interval '10 seconds' AS is_noted FROM sessions")
        assert row.is_noted
        await unused_for(door, 60)
        answer = await door.call("POST", "/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
        assert answer.status_code == 200
        (row,) = await door.run_sql("SELECT now() - last_seen_at < interval '10 seconds' AS is_noted FROM sessions")
        assert row.is_noted


async def test_use_does_not_carry_a_session_past_its_absolute_limit(gateway_database: Database) -> None:
    async with open_door(gateway_database, absolute_seconds="600") as door:
        tokens = await door.sign_in()
        assert tokens["expires_in"] in {599, 600}  # whole seconds that are left
        await door.run_sql("UPDATE sessions SET expires_at = now()")
        door.access.evict()
        assert (await door.call("GET", "/auth/me", token=tokens["access_token"])).status_code == 401
        answer = await door.call("POST", "/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
        assert answer.status_code == 401


async def test_what_nobody_ended_is_given_its_end_when_it_came_to_its_limit(door: Door) -> None:
    lifetimes = Lifetimes()
    kept, idle, expired = [session_of(door, (await door.sign_in())["access_token"]) for _ in range(3)]
    await door.run_sql("UPDATE sessions SET last_seen_at = now() - interval '2 hours' WHERE id = :id", id=idle)
    await door.run_sql("UPDATE sessions SET expires_at = now() - interval '1 minute' WHERE id = :id", id=expired)
    assert [await sweep_once(door.database, lifetimes) for _ in range(2)] == [2, 0]
    rows = await door.run_sql(
        "SELECT id::text, is_active, end_reason, extract(epoch FROM now() - logout_at)::int AS ago FROM sessions"
    )
    found = {row.id: (row.is_active, row.end_reason, row.ago and round(row.ago, -1)) for row in rows}
    assert found == {kept: (True, None, None), idle: (False, "idle", 3600), expired: (False, "expired", 60)}
    events = await door.events("reeve.session.ended.v1")
    assert {(one.data["session_id"], one.data["reason"], one.actortype) for one in events} == {
        (idle, "idle", "system"), (expired, "expired", "system"),
    }  # fmt: skip


async def test_past_their_bound_a_users_oldest_sessions_end(door: Door) -> None:
    oldest = await door.sign_in()
    # With the beginning of the first one's id they are older than any to come.
    await door.run_sql(
        "INSERT INTO sessions (id, user_id, expires_at)"
        " SELECT (left(CAST(id AS text), 24) || lpad(to_hex(n), 12, '0'))::uuid, user_id, now() + interval '1 hour'"
        " FROM sessions, generate_series(1, CAST(:n AS integer)) n WHERE id = CAST(:id AS uuid)",
        id=session_of(door, oldest["access_token"]),
        n=MOST_SESSIONS - 2,
    )
    second = await door.sign_in()
    assert await door.events("reeve.session.ended.v1") == []
    await door.sign_in()
    (event,) = await door.events("reeve.session.ended.v1")
    assert event.data["reason"] == "displaced"
    assert (await door.call("GET", "/auth/me", token=second["access_token"])).status_code == 200
    assert len(await sessions_seen(door, second["access_token"], "?is_active=true&limit=200")) == MOST_SESSIONS


async def test_gateways_that_sweep_at_once_tell_each_end_once(door: Door) -> None:
    assert MOST_SWEPT < 1000
    await door.sign_in(SUPER_ADMIN)
    await door.run_sql(
        "INSERT INTO sessions (id, user_id, expires_at) SELECT gen_random_uuid(), id, now() FROM users,"
        " generate_series(1, :n)",
        n=MOST_SWEPT + 50,
    )
    swept = await asyncio.gather(*(sweep_once(door.database, Lifetimes()) for _ in range(4)))
    assert sum(swept) + await sweep_once(door.database, Lifetimes()) == MOST_SWEPT + 50
    told = [one.data["session_id"] for one in await door.events("reeve.session.ended.v1")]
    assert len(told) == len(set(told)) == MOST_SWEPT + 50
