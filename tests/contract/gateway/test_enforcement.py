"""The whole platform with `REEVE_ENFORCEMENT=observe`: what is let through, what is said of it, and what is not."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.gateway.app import OBSERVING
from tests.contract.conftest import SERVICES
from tests.support.eventually import eventually
from tests.support.house import ADMIN, House, open_house
from tests.support.postgres import PlatformDatabases


@pytest.fixture(scope="module")
async def observing(
    platform_databases: PlatformDatabases, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[House]:
    """A platform where denials are only observed."""
    database = await platform_databases.make(*SERVICES)
    folder: Path = tmp_path_factory.mktemp("observing")
    opened = await asyncio.to_thread(open_house, database, folder, REEVE_ENFORCEMENT="observe")
    yield opened
    await asyncio.to_thread(opened.stop)
    await platform_databases.give_back(database)


@pytest.fixture(scope="module")
def first(observing: House) -> httpx.Client:
    """The first super admin, who has made a secret setting."""
    client = observing.client()
    body = {"key": "payments.key", "value_type": "secret", "value": "sk_true", "default_value": None}
    client.post(f"{ADMIN}/settings", json=body).raise_for_status()
    return client


@pytest.fixture(scope="module")
def viewer(observing: House) -> httpx.Client:
    return observing.client("viewer")


async def entries(first: httpx.Client, **filters: str) -> list[dict[str, Any]]:
    answer = await asyncio.to_thread(first.get, f"{ADMIN}/audit/logs", params=filters)
    found: list[dict[str, Any]] = answer.raise_for_status().json()["logs"]
    return found


async def test_a_write_is_let_through_and_the_log_says_that_it_would_have_been_denied(
    first: httpx.Client, viewer: httpx.Client
) -> None:
    answer = await asyncio.to_thread(viewer.put, f"{ADMIN}/settings/store_trial_days", json={"value": 14})
    assert (answer.status_code, answer.json()["value"]) == (200, 14)
    request_id = answer.headers["x-request-id"]

    async def said() -> list[dict[str, Any]]:
        return [one for one in await entries(first, request_id=request_id) if "would_deny" in one["details"]]

    await eventually(said)
    (entry,) = await said()
    assert (entry["action"], entry["outcome"], entry["target_id"], entry["admin_username"]) == (
        "update_setting", "success", "store_trial_days", "viewer@example.com",
    )  # fmt: skip
    assert entry["details"]["would_deny"] == "settings:write"


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "settings/payments.key", {"value": "sk_stolen"}),
        ("PATCH", "settings/payments.key", {"description": "mine"}),
        ("PATCH", "settings/payments.key", {"value_type": "string", "is_encrypted": False}),
        ("PUT", "settings/payments.key", {"value_type": "string", "value": "sk_stolen"}),
        ("DELETE", "settings/payments.key?confirm=true", None),
        ("POST", "settings/payments.key/rollback", {"version": 1}),
        ("POST", "settings", {"key": "mine.secret", "value_type": "secret", "value": "x"}),
        ("POST", "settings", {"key": "mine.hidden", "value_type": "string", "value": "x", "is_sensitive": True}),
        ("PATCH", "settings/store_trial_days", {"is_sensitive": True}),
        ("POST", "clients", {"name": "Mine", "source": "/platform/mine", "scopes": []}),
        ("POST", "audit/redactions", {"subject_type": "user", "subject_id": "u1", "reason": "mine"}),
        ("PUT", "roles/mine", {"permissions": [], "level": "none"}),
    ],
)
async def test_where_a_secret_is_concerned_the_denial_is_real(
    first: httpx.Client, viewer: httpx.Client, method: str, path: str, body: dict[str, Any] | None
) -> None:
    answer = await asyncio.to_thread(viewer.request, method, f"{ADMIN}/{path}", json=body)
    assert (answer.status_code, answer.json()["detail"]["error"]) == (403, "admin_permission_required"), answer.text
    request_id = answer.headers["x-request-id"]
    await eventually(lambda: entries(first, request_id=request_id))
    (entry,) = await entries(first, request_id=request_id)
    assert (entry["outcome"], "would_deny" in entry["details"]) == ("denied", False)


async def test_a_setting_that_is_no_secret_may_be_made_and_deleted(viewer: httpx.Client) -> None:
    body = {"key": "plain.observed", "value_type": "integer", "value": 1}
    assert (await asyncio.to_thread(viewer.post, f"{ADMIN}/settings", json=body)).status_code == 201
    deleted = await asyncio.to_thread(viewer.delete, f"{ADMIN}/settings/plain.observed?confirm=true")
    assert deleted.status_code == 204


async def test_the_start_says_it_loudly_at_every_level_of_logging(
    platform_databases: PlatformDatabases, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for enforcement, is_said in (("observe", True), ("enforce", False)):
        database = await platform_databases.make(*SERVICES)
        opened = await asyncio.to_thread(
            open_house, database, tmp_path / enforcement, REEVE_ENFORCEMENT=enforcement, REEVE_LOG_LEVEL="error"
        )
        await asyncio.to_thread(opened.stop)
        await platform_databases.give_back(database)
        assert (OBSERVING in capfd.readouterr().err) is is_said
