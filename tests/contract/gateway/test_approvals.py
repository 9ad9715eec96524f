"""Four eyes on the whole platform: two super admins, what they are answered, and what the log tells of it."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from libs.common.ids import new_id
from tests.contract.conftest import SERVICES
from tests.support.house import ADMIN, PASSWORD, House, open_house
from tests.support.postgres import PlatformDatabases

SECOND = "second@example.com"
SECONDS = 20.0


@pytest.fixture(scope="module")
async def pair(
    platform_databases: PlatformDatabases, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[httpx.Client, httpx.Client]]:
    """A platform of its own, where a change waits for a minute: the clients of its two super admins."""
    database = await platform_databases.make(*SERVICES)
    folder: Path = tmp_path_factory.mktemp("platform")
    opened = await asyncio.to_thread(open_house, database, folder, REEVE_APPROVAL_TIMEOUT="60")
    first, second = await asyncio.to_thread(_clients, opened)
    yield first, second
    first.close()
    second.close()
    await asyncio.to_thread(opened.stop)
    await platform_databases.give_back(database)


def _clients(house: House) -> tuple[httpx.Client, httpx.Client]:
    first, second = house.client(), house.client(None)
    body = {"email": SECOND, "name": "Second", "role": "super_admin", "password": PASSWORD}
    assert first.post(f"{ADMIN}/users", json=body).status_code == 201
    signed_in = second.post(f"{ADMIN}/auth/login", json={"email": SECOND, "password": PASSWORD}).raise_for_status()
    second.headers["authorization"] = f"Bearer {signed_in.json()['access_token']}"
    return first, second


def user(client: httpx.Client) -> str:
    """A new account; its path."""
    body = {"email": f"u{new_id()[-8:]}@example.com", "name": "Somebody", "role": "viewer"}
    return f"{ADMIN}/users/{client.post(f'{ADMIN}/users', json=body).raise_for_status().json()['id']}"


def eventually_entries(client: httpx.Client, target: str, holds: Callable[[list[str]], bool]) -> list[dict[str, Any]]:
    """One thing's whole history, once its actions are what they are to be."""
    deadline = time.monotonic() + SECONDS
    while True:
        history: list[dict[str, Any]] = client.get(f"{ADMIN}/audit/targets/{target}").json()["history"]
        if holds([entry["action"] for entry in history]):
            return history
        assert time.monotonic() < deadline, [entry["action"] for entry in history]
        time.sleep(0.05)


def test_the_log_tells_the_whole_way_of_a_change_and_links_it_to_its_approval(
    pair: tuple[httpx.Client, httpx.Client],
) -> None:
    first, second = pair
    path = user(first)
    asked = first.put(f"{path}/role", json={"role": "super_admin"})
    assert asked.status_code == 202
    approval = first.get(asked.headers["location"]).raise_for_status().json()
    assert approval == asked.json()
    own = first.post(f"{asked.headers['location']}/approve")
    assert (own.status_code, own.json()["detail"]["error"]) == (403, "own_request")
    second.post(f"{asked.headers['location']}/approve").raise_for_status()
    assert first.get(path).json()["role"] == "super_admin"

    entries = eventually_entries(
        first, f"approval/{approval['id']}", lambda actions: actions.count("approve_change") == 2
    )
    told = {(entry["action"], entry["outcome"]): entry for entry in entries}
    assert told["request_approval", "success"]["admin_user_id"] == approval["asked_by"]
    assert told["approve_change", "denied"]["admin_user_id"] == approval["asked_by"]
    granted = told["approve_change", "success"]
    assert granted["admin_username"] == SECOND
    target = path.removeprefix(f"{ADMIN}/").replace("users/", "user/")
    history = eventually_entries(first, target, lambda actions: "change_user_role" in actions)
    (change,) = [entry for entry in history if entry["action"] == "change_user_role"]
    assert (change["details"]["approval"], change["details"]["approval_id"]) == ("granted", approval["id"])
    assert (change["changes"]["role"], change["severity"]) == ({"old": "viewer", "new": "super_admin"}, "warning")


def test_what_was_made_without_a_second_pair_of_eyes_stands_out_in_the_log(
    pair: tuple[httpx.Client, httpx.Client],
) -> None:
    first, second = pair
    (made,) = first.get(f"{ADMIN}/users?q={SECOND}").json()["users"]
    history = eventually_entries(second, f"user/{made['id']}", lambda actions: "create_user" in actions)
    (created,) = [entry for entry in history if entry["action"] == "create_user"]
    assert (created["details"]["approval"], created["severity"]) == ("none_available", "error")


def test_a_repeated_request_with_its_key_is_answered_as_the_first_one(
    pair: tuple[httpx.Client, httpx.Client],
) -> None:
    first, second = pair
    body = {"email": f"k{new_id()[-8:]}@example.com", "name": "Key", "role": "super_admin"}
    keys = [{"idempotency-key": new_id()} for _ in range(2)]
    asked = [first.post(f"{ADMIN}/users", json=body, headers=keys[0]) for _ in range(2)]
    assert [answer.status_code for answer in asked] == [202, 202]
    assert asked[0].json() == asked[1].json()
    assert asked[1].headers["location"] == asked[0].headers["location"]
    assert asked[1].headers["idempotency-replayed"] == "true"
    decided = [second.post(f"{asked[0].headers['location']}/approve", headers=keys[1]) for _ in range(2)]
    assert [answer.status_code for answer in decided] == [200, 200]
    assert decided[0].json() == decided[1].json()
    assert decided[1].headers["idempotency-replayed"] == "true"
    again = second.post(f"{asked[0].headers['location']}/approve")
    assert (again.status_code, again.json()["detail"]["error"]) == (409, "approval_decided")
    assert first.get(f"{ADMIN}/users?q={body['email']}").json()["total"] == 1


def test_the_description_says_that_a_change_may_wait(pair: tuple[httpx.Client, httpx.Client]) -> None:
    paths = pair[0].get("/api/v1/openapi.json").json()["paths"]
    one = "/users/{user_id}"
    for method, path in (("post", "/users"), ("put", f"{one}/role"), ("put", f"{one}/status"), ("patch", one)):
        answers = paths[f"{ADMIN}{path}"][method]["responses"]
        waits = answers["202"]["content"]["application/json"]["schema"]["$ref"]
        done = answers["201" if method == "post" else "200"]["content"]["application/json"]["schema"]["$ref"]
        assert waits.endswith("ApprovalResponse")
        assert done.endswith("UserResponse")


def test_how_long_a_change_waits_is_configured(pair: tuple[httpx.Client, httpx.Client]) -> None:
    first, second = pair
    asked = first.put(f"{user(first)}/role", json={"role": "super_admin"}).json()
    listed = second.get(f"{ADMIN}/approvals?state=pending").json()
    assert asked["id"] in [one["id"] for one in listed["approvals"]]
    waits = datetime.fromisoformat(asked["expires_at"]) - datetime.fromisoformat(asked["created_at"])
    assert timedelta(seconds=59) < waits < timedelta(seconds=61)
