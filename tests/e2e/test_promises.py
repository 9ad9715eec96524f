"""What always holds, whoever asks: permissions, the record of every read, secrets that nobody sees, closed doors."""

import asyncpg
import httpx
import orjson
import pytest

from libs.common.database.bootstrap import SERVICES
from libs.common.ids import new_id
from tests.demo.administrator import ADMIN, Administrator
from tests.e2e.steps import a_setting, a_user, entries, listening, put
from tests.support.processes import Platform

READS = (
    "/settings", "/settings/maintenance_mode", "/settings/maintenance_mode/history", "/settings/categories",
    "/audit/logs", "/audit/stats", "/audit/actions", "/audit/target-types", "/notifications", "/notifications/recent",
    "/notifications/unread-count", "/notifications/alerts", "/notifications/alerts/stats", "/users", "/roles",
    "/clients", "/auth/me", "/events/catalog", "/system/health",
)  # fmt: skip
ROLES = ("super_admin", "admin", "moderator", "viewer")
MAY = {
    ("GET", "/settings"): {"super_admin", "admin", "viewer"},
    ("PUT", "/settings/{key}"): {"super_admin", "admin"},
    ("GET", "/audit/logs"): {"super_admin", "admin", "viewer"},
    ("GET", "/notifications"): {"super_admin", "admin", "moderator", "viewer"},
    ("PUT", "/notifications/mark-all-read"): {"super_admin", "admin", "moderator"},
    ("GET", "/users"): {"super_admin", "admin", "viewer"},
    ("GET", "/clients"): {"super_admin"},
    ("GET", "/system/health"): {"super_admin", "admin", "moderator", "viewer"},
}


@pytest.mark.parametrize("role", ROLES)
async def test_a_role_may_do_what_the_table_says_and_nothing_else(
    admin: Administrator, http: httpx.AsyncClient, role: str
) -> None:
    key = await a_setting(admin)
    somebody = await a_user(admin, http, role)
    for (method, path), roles in MAY.items():
        body = {"json": {"value": 2}} if "{key}" in path else {}
        answer = await somebody.call(method, path.format(key=key), **body)
        assert answer.is_success if role in roles else answer.status_code == 403, (
            f"{role}: {method} {path}: {answer.text}"
        )


async def test_a_denial_says_what_was_missing_and_is_recorded(admin: Administrator, http: httpx.AsyncClient) -> None:
    key, viewer = await a_setting(admin), await a_user(admin, http, "viewer")
    answer = await put(viewer, http, key, 2)
    detail = answer.json()["detail"]
    assert (answer.status_code, sorted(detail)) == (403, ["error", "message", "required_permission", "user_permission"])
    assert (detail["error"], detail["required_permission"]) == ("admin_permission_required", "settings:write")
    assert detail["user_permission"] == "read"
    (entry,) = await entries(admin, 1, action="update_setting", target_id=key)
    me = await viewer.get("/auth/me")
    assert (entry["outcome"], entry["admin_user_id"]) == ("denied", me["id"])
    assert (await admin.get(f"/settings/{key}"))["value"] == 1


@pytest.mark.parametrize("path", READS)
async def test_every_read_leaves_one_entry(admin: Administrator, http: httpx.AsyncClient, path: str) -> None:
    request_id = new_id()
    answer = await http.get(f"{ADMIN}{path}", headers={**admin.headers, "x-request-id": request_id})
    assert (answer.status_code, answer.headers["x-request-id"]) == (200, request_id)
    (entry,) = await entries(admin, 1, request_id=request_id)
    assert (entry["outcome"], entry["details"]["path"]) == ("success", f"{ADMIN}{path}")


async def test_a_secret_is_shown_and_stored_nowhere_in_clear(
    platform: Platform, admin: Administrator, http: httpx.AsyncClient
) -> None:
    first, second = f"Sesame-{new_id()}-4242", f"Sesame-{new_id()}-4343"
    async with listening(http, admin.headers, "settings,audit,operations") as live:
        key = await a_setting(admin, value=first, value_type="secret")
        answer = await put(admin, http, key, second)
        assert (answer.status_code, answer.json()["value"]) == (200, {"is_set": True, "hint": "...4343"})
        await live.hears(lambda one: one.data["type"] == "reeve.setting.changed.v1" and key in one.data["subject"])
        (entry,) = await entries(admin, 1, action="update_setting", target_id=key)
        assert entry["changes"]["value"] == {"old": "[redacted]", "new": "[redacted]"}
        shown = [orjson.dumps([one.data for one in live.frames]), answer.content]
    operation = f"/operations/{answer.headers['x-operation-id']}"
    paths = (
        f"/settings/{key}",
        f"/settings/{key}/history",
        "/settings?category=e2e&limit=200",
        "/audit/logs",
        operation,
    )
    shown += [(await admin.call("GET", path)).content for path in paths]
    stored = await _everything_stored(platform)
    logged = b"".join(program.log.read_bytes() for program in platform.programs.values())
    for secret in (first.encode(), second.encode()):
        assert not any(secret in one for one in shown)
        assert secret not in stored
        assert secret.hex().encode() not in stored
        assert secret not in logged


async def _everything_stored(platform: Platform) -> bytes:
    """Every row of every table as text."""
    connection = await asyncpg.connect(platform.admin_database)
    try:
        tables = await connection.fetch(
            "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname = ANY($1::text[])", SERVICES
        )
        rows = [await connection.fetch(f"SELECT t::text FROM {table[0]} AS t") for table in tables]
    finally:
        await connection.close()
    return "\n".join(row[0] for found in rows for row in found).encode()


@pytest.mark.parametrize(
    ("service", "path"),
    [
        ("settings", "/internal/settings"), ("settings", "/internal/settings/public"), ("audit", "/internal/audit/logs"),
        ("notifications", "/internal/notifications"), ("notifications", "/internal/notifications/alerts"),
    ],
)  # fmt: skip
async def test_a_service_answers_nobody_without_the_gateways_word(
    platform: Platform, admin: Administrator, service: str, path: str
) -> None:
    """Not even an administrator whose token the gateway takes."""
    async with httpx.AsyncClient(base_url=platform.programs[service].url) as direct:
        for headers in ({}, admin.headers):
            answer = await direct.get(path, headers=headers)
            assert answer.status_code == 401
            assert answer.json()["detail"]["error"]
