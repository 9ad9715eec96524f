"""Each kind of security event, provoked by real requests to a running platform whose proxy says where they come from."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from libs.common.ids import new_id
from tests.contract.conftest import SERVICES
from tests.support.eventually import eventually
from tests.support.house import ADMIN, PASSWORD, House, open_house
from tests.support.postgres import PlatformDatabases

_ADDRESSES = count(1)
RULES = f"{ADMIN}/security/rules"
EVENTS = f"{ADMIN}/security/events"


@pytest.fixture(scope="module")
async def watched(
    platform_databases: PlatformDatabases, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[House]:
    """A platform behind a proxy, which is this test."""
    database = await platform_databases.make(*SERVICES)
    folder: Path = tmp_path_factory.mktemp("watched")
    opened = await asyncio.to_thread(open_house, database, folder, REEVE_TRUSTED_PROXIES="127.0.0.1/32")
    yield opened
    await asyncio.to_thread(opened.stop)
    await platform_databases.give_back(database)


@pytest.fixture(scope="module")
def first(watched: House) -> Iterator[httpx.Client]:
    """The first super admin."""
    with watched.client() as http:
        yield http


@pytest.fixture
def http(watched: House) -> Iterator[httpx.Client]:
    """Nobody yet, with no cookies or headers of others."""
    with watched.client(None) as client:
        yield client


def an_address() -> str:
    """An address in a network that nobody else is in."""
    number = next(_ADDRESSES)
    return f"10.{number // 250}.{number % 250}.7"


def from_(address: str, token: str | None = None) -> dict[str, str]:
    return {"x-forwarded-for": address, **({"authorization": f"Bearer {token}"} if token else {})}


def a_user(first: httpx.Client, role: str = "viewer") -> dict[str, Any]:
    body = {"email": f"u{new_id()}@example.com", "name": "Somebody", "role": role, "password": PASSWORD}
    made: dict[str, Any] = first.post(f"{ADMIN}/users", json=body).raise_for_status().json()
    return made


def signed_in(http: httpx.Client, user: dict[str, Any], address: str) -> dict[str, Any]:
    body = {"email": user["email"], "password": PASSWORD}
    answer = http.post(f"{ADMIN}/auth/login", json=body, headers=from_(address))
    tokens: dict[str, Any] = answer.raise_for_status().json()
    return tokens


async def settled(watched: House) -> None:
    """Return once all facts were judged."""
    connection = await asyncpg.connect(watched.database.admin_url)

    async def is_settled() -> bool:
        waiting = await connection.fetchval("SELECT count(*) FROM gateway.security_facts WHERE position IS NULL")
        return bool(waiting == 0)

    try:
        await eventually(is_settled)
    finally:
        await connection.close()


async def raised(watched: House, first: httpx.Client, **filters: str) -> list[dict[str, Any]]:
    """The events that there are when everything so far was judged."""
    await settled(watched)
    found: list[dict[str, Any]] = first.get(EVENTS, params=filters).raise_for_status().json()["events"]
    return found


def change_rule(first: httpx.Client, name: str, **changed: Any) -> httpx.Response:
    rule = first.get(f"{RULES}/{name}").json()
    kept = ("kind", "group_by", "threshold", "window_seconds", "cooldown_seconds", "severity", "enabled", "description")
    return first.put(f"{RULES}/{name}", json={**{name: rule[name] for name in kept}, **changed})


async def test_the_fifth_failed_sign_in_to_an_account_and_not_the_fourth(
    watched: House, first: httpx.Client, http: httpx.Client
) -> None:
    user = a_user(first)
    wrong = {"email": user["email"], "password": "not this one"}
    for _ in range(4):
        http.post(f"{ADMIN}/auth/login", json=wrong, headers=from_(an_address()))
    assert await raised(watched, first, user_id=user["id"], event_type="failed_login") == []
    address = an_address()
    answer = http.post(f"{ADMIN}/auth/login", json=wrong, headers={**from_(address), "user-agent": "guess/1"})
    assert answer.status_code == 401
    (event,) = await raised(watched, first, user_id=user["id"], event_type="failed_login")
    assert (event["severity"], event["count"], event["ip_address"], event["user_agent"], event["subject"]) == (
        "medium", 1, address, "guess/1", user["id"],
    )  # fmt: skip
    assert (event["details"]["measure"], event["details"]["threshold"], event["resolved"]) == (5, 5, False)


async def test_guesses_at_many_accounts_from_one_address(
    watched: House, first: httpx.Client, http: httpx.Client
) -> None:
    address = an_address()
    for _ in range(12):
        body = {"email": f"{new_id()}@example.com", "password": "a guess"}
        http.post(f"{ADMIN}/auth/login", json=body, headers=from_(address))
    (event,) = await raised(watched, first, ip_address=address, event_type="failed_login")
    # One event, that counts on: the tenth, eleventh and twelfth.
    assert (event["severity"], event["count"], event["user_id"], event["rule"]) == (
        "high", 3, None, "failed_logins_from_address",
    )  # fmt: skip


async def test_ten_denied_requests_of_one_administrator_and_not_nine(
    watched: House, first: httpx.Client, http: httpx.Client
) -> None:
    user, address = a_user(first), an_address()
    token = signed_in(http, user, address)["access_token"]
    for _ in range(9):
        answer = http.put(f"{ADMIN}/settings/theme", json={"value": 1}, headers=from_(address, token))
        assert answer.status_code == 403
    assert await raised(watched, first, user_id=user["id"]) == []
    http.put(f"{ADMIN}/settings/theme", json={"value": 1}, headers=from_(address, token))
    (event,) = await raised(watched, first, user_id=user["id"])
    assert (event["event_type"], event["severity"]) == ("denied_request", "medium")
    assert event["details"]["permission"] == "settings:write"


async def test_limits_that_are_exceeded(watched: House, first: httpx.Client, http: httpx.Client) -> None:
    address, email = an_address(), f"{new_id()}@example.com"
    statuses = [
        http.post(f"{ADMIN}/auth/login", json={"email": email, "password": "x"}, headers=from_(address)).status_code
        for _ in range(40)
    ]
    refused = statuses.count(429)
    assert refused >= 10
    (event,) = await raised(watched, first, ip_address=address, event_type="rate_limit_exceeded")
    assert (event["severity"], event["count"]) == ("low", refused - 9)


def reuse_a_refresh_token(first: httpx.Client, http: httpx.Client) -> str:
    """Whose token was used twice."""
    user, address = a_user(first), an_address()
    body = {"refresh_token": signed_in(http, user, address)["refresh_token"]}
    assert http.post(f"{ADMIN}/auth/refresh", json=body, headers=from_(address)).status_code == 200
    assert http.post(f"{ADMIN}/auth/refresh", json=body, headers=from_(address)).status_code == 401
    return str(user["id"])


def alerts_about(first: httpx.Client, event: dict[str, Any]) -> list[dict[str, Any]]:
    answer = first.get(f"{ADMIN}/notifications/alerts", params={"alert_type": "security"})
    assert answer.status_code == 200, answer.text
    return [one for one in answer.json()["alerts"] if event["subject"] in one["title"]]


async def told_by(first: httpx.Client, event: dict[str, Any]) -> str:
    """How notifications learnt of an event, once it has."""

    def told() -> str | None:
        return str(first.get(f"{EVENTS}/{event['id']}").json()["told_by"] or "") or None

    return str(await eventually(told))


async def test_a_refresh_token_that_is_used_twice_is_critical_and_raises_one_alert(
    watched: House, first: httpx.Client, http: httpx.Client
) -> None:
    (event,) = await raised(watched, first, user_id=reuse_a_refresh_token(first, http), event_type="token_reuse")
    assert (event["severity"], event["rule"]) == ("critical", "token_reuse")
    await eventually(lambda: alerts_about(first, event))
    assert await told_by(first, event) == "bus"
    (alert,) = alerts_about(first, event)
    assert (alert["severity"], alert["occurrence_count"]) == ("critical", 1)


async def test_where_the_transport_in_memory_is_held_up_the_alert_comes_directly_and_once(
    watched: House, first: httpx.Client, http: httpx.Client
) -> None:
    connection = await asyncpg.connect(watched.database.admin_url)
    try:
        async with connection.transaction():
            # The transport in memory has delivered when every consumer has: one of them cannot.
            await connection.execute("LOCK TABLE audit.inbox IN ACCESS EXCLUSIVE MODE")
            user_id = reuse_a_refresh_token(first, http)
            (event,) = await raised(watched, first, user_id=user_id, event_type="token_reuse")
            assert await told_by(first, event) == "direct"
            (alert,) = alerts_about(first, event)
            assert alert["occurrence_count"] == 1

        async def is_delivered() -> bool:
            return bool(await connection.fetchval("SELECT count(*) FROM gateway.outbox") == 0)

        await eventually(is_delivered, within_seconds=30)
    finally:
        await connection.close()
    (alert,) = alerts_about(first, event)
    assert alert["occurrence_count"] == 1


async def test_one_session_in_two_networks(watched: House, first: httpx.Client, http: httpx.Client) -> None:
    user, home, away = a_user(first), an_address(), an_address()
    token = signed_in(http, user, home)["access_token"]
    http.get(f"{ADMIN}/auth/me", headers=from_(home, token)).raise_for_status()
    neighbour = home.rpartition(".")[0] + ".99"
    http.get(f"{ADMIN}/auth/me", headers=from_(neighbour, token)).raise_for_status()
    assert await raised(watched, first, user_id=user["id"]) == []
    http.get(f"{ADMIN}/auth/me", headers=from_(away, token)).raise_for_status()
    (event,) = await raised(watched, first, user_id=user["id"])
    assert (event["event_type"], event["severity"], event["ip_address"]) == ("impossible_travel", "high", away)
    networks = [address.rpartition(".")[0] + ".0/24" for address in (away, home)]
    assert event["details"]["seen"] == networks


async def test_a_session_that_only_writes_from_elsewhere_is_seen_as_well(
    watched: House, first: httpx.Client, http: httpx.Client
) -> None:
    user, home, away = a_user(first, "moderator"), an_address(), an_address()
    token = signed_in(http, user, home)["access_token"]
    body = {"type": "note", "title": "hello", "message": "there", "priority": "low"}
    for address in (home, away):
        http.post(f"{ADMIN}/notifications", json=body, headers=from_(address, token)).raise_for_status()
    (event,) = await raised(watched, first, user_id=user["id"])
    assert event["rule"] == "session_in_two_networks"


async def test_many_different_things_read_and_none_of_them_twice(
    watched: House, first: httpx.Client, http: httpx.Client
) -> None:
    assert change_rule(first, "mass_reads_of_user", threshold=6).status_code == 200
    user, address = a_user(first), an_address()
    headers = from_(address, signed_in(http, user, address)["access_token"])
    for _ in range(3):
        for path in ("auth/me", "settings", "users", "roles"):
            http.get(f"{ADMIN}/{path}", headers=headers).raise_for_status()
    http.get(f"{ADMIN}/settings?q=other", headers=headers).raise_for_status()
    http.get(f"{ADMIN}/users/{user['id']}", headers=headers).raise_for_status()
    assert await raised(watched, first, user_id=user["id"]) == []
    page = http.get(f"{ADMIN}/users?limit=1", headers=headers).json()["next_cursor"]
    http.get(f"{ADMIN}/users", params={"limit": 1, "cursor": page}, headers=headers).raise_for_status()
    (event,) = await raised(watched, first, user_id=user["id"])
    assert (event["event_type"], event["details"]["measure"], event["count"]) == ("mass_read", 6, 1)
    assert change_rule(first, "mass_reads_of_user", threshold=300).status_code == 200


async def test_an_export_counts_as_a_hundred_reads(watched: House, first: httpx.Client, http: httpx.Client) -> None:
    assert change_rule(first, "mass_reads_of_user", threshold=100).status_code == 200
    user, address = a_user(first, "admin"), an_address()
    headers = from_(address, signed_in(http, user, address)["access_token"])
    body = {"source": "audit", "format": "csv"}
    http.post(f"{ADMIN}/exports", json=body, headers=headers).raise_for_status()
    (event,) = await raised(watched, first, user_id=user["id"], event_type="mass_read")
    assert event["details"]["measure"] == 100
    assert change_rule(first, "mass_reads_of_user", threshold=300).status_code == 200


async def test_rights_that_are_given_away(watched: House, first: httpx.Client, http: httpx.Client) -> None:
    me = first.get(f"{ADMIN}/auth/me").json()["id"]
    assert change_rule(first, "privilege_changes", window_seconds=1, cooldown_seconds=0).status_code == 200
    await settled(watched)
    before = first.get(EVENTS, params={"event_type": "privilege_change", "limit": 200}).json()["total"]
    user, address, name = a_user(first), an_address(), f"r{new_id().replace('-', '')}"
    asker = from_(address, signed_in(http, user, address)["access_token"])
    first.put(f"{ADMIN}/roles/{name}", json={"permissions": ["audit:read"]}).raise_for_status()
    asked = http.post(
        f"{ADMIN}/access/requests", json={"permission": "settings:write", "reason": "the move"}, headers=asker
    )
    until = {"until": "2999-01-01T00:00:00Z"}
    first.post(f"{ADMIN}/access/requests/{asked.json()['id']}/approve", json=until)
    from_now = {"until": _in_a_day()}
    first.post(f"{ADMIN}/access/requests/{asked.json()['id']}/approve", json=from_now).raise_for_status()
    first.put(f"{ADMIN}/users/{user['id']}/role", json={"role": "moderator"}).raise_for_status()
    narrow = {"name": "Narrow", "source": "/platform/narrow", "scopes": ["settings:read", "events:publish"]}
    first.post(f"{ADMIN}/clients", json=narrow).raise_for_status()
    wide = {"name": "Wide", "source": "/platform/wide", "scopes": ["settings:read", "settings:write"]}
    first.post(f"{ADMIN}/clients", json=wide).raise_for_status()
    a_user(first, "admin")
    found = await raised(watched, first, event_type="privilege_change", limit="200")
    new = found[: len(found) - before]
    changes = [one["details"]["change"] for one in reversed(new)]
    assert changes == ["role", "grant", "user_role", "client", "new_user"]
    assert {(one["user_id"], one["severity"]) for one in new} == {(me, "medium")}
    assert next(one for one in new if one["details"]["change"] == "client")["details"]["scopes"] == ["settings:write"]
    assert change_rule(first, "privilege_changes", window_seconds=60, cooldown_seconds=60).status_code == 200


def _in_a_day() -> str:
    return (datetime.now(UTC) + timedelta(days=1)).isoformat()
