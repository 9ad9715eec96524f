"""What the guard does before a route runs, and what it leaves for the recorder."""

import pytest
from prometheus_client import REGISTRY

from libs.common.database.engine import Database
from libs.common.errors import Unavailable
from tests.integration.gateway.access.door import Door, Unreachable, open_door


@pytest.mark.parametrize(
    "error", [Unavailable("gone", code="database_unavailable"), RuntimeError("canary"), TimeoutError()]
)
async def test_a_lookup_that_fails_is_a_fault_of_ours_and_grants_nothing(door: Door, error: Exception) -> None:
    token = await door.token_of("super_admin")
    door.access.evict()
    door.access.database = Unreachable(error)
    answer = await door.call("PUT", "/samples/theme", token=token, json={"value": 1})
    assert answer.status_code == 500
    detail = answer.json()["detail"]
    assert detail["error"] == "permission_check_failed"
    assert set(detail) == {"error", "message", "request_id"}
    assert "canary" not in answer.text
    assert "endpoint ran" not in answer.text


async def test_the_guard_speaks_before_anything_is_parsed(door: Door) -> None:
    for token in (None, await door.token_of("viewer")):
        answer = await door.client.put(
            "/api/v1/admin/samples/theme?unknown=1",
            content=b"{not json",
            headers={"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})},
        )
        assert answer.status_code == (401 if token is None else 403)
    admin = await door.token_of("admin")
    answer = await door.client.put(
        "/api/v1/admin/samples/theme",
        content=b"{not json",
        headers={"Content-Type": "application/json", "Authorization": f"Bearer {admin}"},
    )
    assert answer.status_code == 400


async def test_a_request_leaves_who_did_what_to_what(door: Door) -> None:
    token = await door.token_of("viewer")
    await door.call(
        "GET", "/samples/theme", token=token, headers={"User-Agent": "browser/1", "X-Request-ID": "request-1"}
    )
    state = door.watch.state
    assert (state["action"], state["target"], state["permission"]) == ("read_sample", "sample/theme", "settings:read")
    caller = state["caller"]
    assert (caller.actor.username, caller.actor.role) == ("viewer@example.com", "viewer")
    assert caller.origin.model_dump() == {
        "username": "viewer@example.com", "ip_address": "203.0.113.7", "user_agent": "browser/1",
        "request_id": "request-1", "session_id": door.access.tokens.verify(token).sid, "undoes": None,
    }  # fmt: skip
    assert caller.correlation_id == "request-1"


async def test_a_refused_request_leaves_as_much_as_is_known(door: Door) -> None:
    await door.call("PUT", "/samples/theme", token=await door.token_of("viewer"), json={"value": 1})
    state = door.watch.state
    assert (state["action"], state["target"], state["permission"]) == ("write_sample", "sample/theme", "settings:write")
    assert state["caller"].actor.username == "viewer@example.com"
    await door.call("PUT", "/samples/theme", json={"value": 1})
    state = door.watch.state
    assert (state["action"], state["target"], state.get("caller")) == ("write_sample", "sample/theme", None)
    assert state["origin"].ip_address == "203.0.113.7"


async def test_a_public_route_knows_an_anonymous_caller(door: Door) -> None:
    answer = await door.call("GET", "/samples")
    assert answer.json() == {"caller": "anonymous"}
    assert (door.watch.state["action"], door.watch.state.get("caller")) == ("view_public_sample", None)
    assert door.watch.state["origin"].ip_address == "203.0.113.7"


@pytest.mark.parametrize(
    "value",
    ["Bearer", "Bearer ", "bearer\t", "Basic dXNlcjpwYXNz", "Token abc", "abc", "Bearer a b", "BEARER x.y.z"],
)
async def test_a_header_that_is_no_bearer_token_is_refused(door: Door, value: str) -> None:
    answer = await door.call("GET", "/samples/theme", headers={"Authorization": value})
    assert (answer.status_code, answer.json()["detail"]["error"]) == (401, "invalid_token")
    assert answer.headers["www-authenticate"] == 'Bearer error="invalid_token"'


async def test_the_scheme_is_read_in_any_case(door: Door) -> None:
    token = await door.token_of("viewer")
    assert (await door.call("GET", "/samples/theme", headers={"Authorization": f"bEaReR {token}"})).status_code == 200


async def test_two_authorization_headers_are_refused(door: Door) -> None:
    token = await door.token_of("viewer")
    answer = await door.client.get(
        "/api/v1/admin/samples/theme",
        headers=[("Authorization", f"Bearer {token}"), ("Authorization", f"Bearer {token}")],
    )
    assert answer.status_code == 401


async def test_identity_headers_of_a_caller_are_believed_by_nobody(door: Door) -> None:
    token = await door.token_of("viewer")
    await door.call(
        "GET", "/samples/theme", token=token,
        headers={"X-Forwarded-For": "6.6.6.6", "Forwarded": "for=6.6.6.6", "X-User-ID": "root", "X-Real-IP": "6.6.6.6"},
    )  # fmt: skip
    caller = door.watch.state["caller"]
    assert (caller.origin.ip_address, caller.actor.username) == ("203.0.113.7", "viewer@example.com")


async def test_a_hostile_user_agent_is_one_short_printable_line(door: Door) -> None:
    token = await door.token_of("viewer")
    await door.client.get(
        "/api/v1/admin/samples/theme",
        headers=[
            (b"Authorization", f"Bearer {token}".encode()),
            (b"User-Agent", b"a\x1b[31m\x00\r\nfake: line" + b"x" * 5000),
        ],
    )
    agent = door.watch.state["caller"].origin.user_agent
    assert agent.isprintable()
    assert len(agent) == 512


async def test_lookups_are_cached_and_counted(door: Door) -> None:
    token = await door.token_of("viewer")

    def count(result: str) -> float:
        return REGISTRY.get_sample_value("reeve_permission_cache_total", {"result": result}) or 0.0

    def timed() -> float:
        return REGISTRY.get_sample_value("reeve_permission_check_seconds_count") or 0.0

    hits, misses, checks = count("hit"), count("miss"), timed()
    for _ in range(20):
        await door.call("GET", "/samples/theme", token=token)
    assert (count("hit") - hits, count("miss") - misses, timed() - checks) == (19, 1, 20)


async def test_every_caller_has_a_limit_of_their_own(gateway_database: Database) -> None:
    async with open_door(gateway_database) as generous:
        tokens = [await generous.token_of("viewer"), await generous.token_of("moderator")]
    async with open_door(gateway_database, rate_limit="3/minute") as door:
        answers = [await door.call("GET", "/samples/theme", token=tokens[0]) for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        assert answers[0].headers["ratelimit-policy"] == '"caller";q=3;w=60'
        assert answers[0].headers["ratelimit"] == '"caller";r=2;t=20'
        assert answers[2].headers["ratelimit"].startswith('"caller";r=0;t=')
        refused = answers[3]
        assert refused.json()["detail"]["error"] == "rate_limited"
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        assert refused.headers["ratelimit-policy"] == '"caller";q=3;w=60'
        assert len(refused.headers.get_list("ratelimit")) == 1
        assert (await door.call("GET", "/auth/me", token=tokens[0])).status_code == 429
        assert (await door.call("GET", "/auth/me", token=tokens[1])).status_code == 200


async def test_a_new_token_is_no_new_limit(gateway_database: Database) -> None:
    async with open_door(gateway_database) as generous:
        await generous.token_of("viewer")
    async with open_door(gateway_database, rate_limit="4/minute") as door:
        tokens = [(await door.sign_in("viewer@example.com"))["access_token"] for _ in range(4)]
        statuses = [(await door.call("GET", "/auth/me", token=token)).status_code for token in tokens * 2]
        assert statuses == [200] * 4 + [429] * 4


async def test_refusals_count_too(gateway_database: Database) -> None:
    async with open_door(gateway_database) as generous:
        token = await generous.token_of("viewer")
    async with open_door(gateway_database, rate_limit="2/minute") as door:
        answers = [await door.call("PUT", "/samples/theme", token=token, json={"value": 1}) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [403, 403, 429]
        assert "ratelimit" in answers[0].headers
        guesses = [await door.call("GET", "/auth/me", token="guess") for _ in range(3)]
        assert [answer.status_code for answer in guesses] == [401, 401, 429]


async def test_a_route_outside_the_callers_limit_is_not_counted(gateway_database: Database) -> None:
    async with open_door(gateway_database) as generous:
        token = await generous.token_of("super_admin")
    async with open_door(gateway_database, rate_limit="1/minute") as door:
        for _ in range(5):
            answer = await door.call("POST", "/samples", token=token)
            assert answer.status_code == 200
            assert "ratelimit" not in answer.headers


async def test_sign_ins_are_limited_per_address_whoever_is_tried(gateway_database: Database) -> None:
    async with open_door(gateway_database, login_rate_limit="3/minute") as door:
        answers = [
            await door.call("POST", "/auth/login", json={"email": f"user{number}@example.com", "password": "x"})
            for number in range(5)
        ]
        assert [answer.status_code for answer in answers] == [401, 401, 401, 429, 429]
        assert "retry-after" in answers[4].headers
        assert len(await door.events("reeve.sign_in.failed.v1")) == 3


async def test_the_limit_of_a_token_request_is_answered_in_oauths_shape(gateway_database: Database) -> None:
    async with open_door(gateway_database, login_rate_limit="1/minute") as door:
        await door.client_token("nobody", "x" * 20)
        answer = await door.client_token("nobody", "x" * 20)
        assert (answer.status_code, answer.json()["error"]) == (429, "temporarily_unavailable")
        assert "retry-after" in answer.headers
