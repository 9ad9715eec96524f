"""Exports of what the gateway itself keeps: accounts and security events, in every format, as their lists answer them."""

import asyncio
import csv
import json
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import duckdb
import httpx
import pytest

from libs.common.exports.formula import restored
from libs.common.ids import new_id
from tests.contract.conftest import SERVICES
from tests.support.house import ADMIN, PASSWORD, House, open_house
from tests.support.postgres import PlatformDatabases

EXPORTS = f"{ADMIN}/exports"
LISTS = {"users": (f"{ADMIN}/users", "users"), "security_events": (f"{ADMIN}/security/events", "events")}
STILL: dict[str, dict[str, Any]] = {"users": {}, "security_events": {"rule": "a_rule"}}
"""What finds the same however often these tests ask: their asking is detected, too."""
TIMES = ("created_at", "updated_at", "last_login_at", "erased_at", "last_at", "resolved_at")
FORMULA = "=HYPERLINK(1)"


@pytest.fixture(scope="module")
async def kept(platform_databases: PlatformDatabases, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """A platform with some accounts and security events, which nothing but these tests adds to."""
    database = await platform_databases.make(*SERVICES)
    opened = await asyncio.to_thread(open_house, database, tmp_path_factory.mktemp("kept"))
    await asyncio.to_thread(make_users, opened)
    await make_events(database.admin_url)
    yield opened
    await asyncio.to_thread(opened.stop)
    await platform_databases.give_back(database)


def make_users(house: House) -> None:
    house.token("viewer")
    with house.client() as first:
        for number in range(4):
            body = {"email": f"one{number}@example.com", "name": f"{FORMULA} {number}", "role": "moderator"}
            first.post(f"{ADMIN}/users", json=body).raise_for_status()


async def make_events(url: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.executemany(
        "INSERT INTO gateway.security_events (id, fingerprint, event_type, severity, rule, subject, count, user_id,"
        " ip_address, user_agent, details, resolved, resolved_by, resolved_at, notes, told_by, created_at, last_at)"
        " VALUES ($1, $2, $3, $4, 'a_rule', 'somebody', $5, $6, '203.0.113.7', $7, $8, $9, $10, $11, $12, 'bus', now(), now())",
        [
            (
                new_id(), f"f{number}", f"type_{number % 2}", ("low", "high", "critical")[number % 3], number, None,
                f"{FORMULA} {number}", json.dumps({"said": "a,b\r\n\"c\"", "number": number}), number == 1,
                "somebody" if number == 1 else None, None, "seen\nto" if number == 1 else None,
            )
            for number in range(7)
        ],
    )  # fmt: skip
    await connection.close()


@pytest.fixture
def admin(kept: House) -> Iterator[httpx.Client]:
    """The first administrator, with no exports left over."""
    with kept.client() as http:
        yield http
        for one in http.get(f"{EXPORTS}?limit=200").json()["exports"]:
            http.delete(f"{EXPORTS}/{one['id']}").raise_for_status()


def ended(http: httpx.Client, export_id: str) -> dict[str, Any]:
    """The job once it waits and runs no more."""
    deadline = time.monotonic() + 30
    while True:
        job: dict[str, Any] = http.get(f"{EXPORTS}/{export_id}").raise_for_status().json()
        if job["state"] not in ("queued", "running"):
            return job
        assert time.monotonic() < deadline, job
        time.sleep(0.05)


def exported(
    http: httpx.Client, source: str, export_format: str = "jsonl", **filters: Any
) -> tuple[dict[str, Any], bytes]:
    """A job that succeeded, and its file."""
    asked = http.post(EXPORTS, json={"source": source, "format": export_format, "filters": filters})
    assert (asked.status_code, asked.json().get("state")) == (201, "queued"), asked.text
    assert asked.headers["location"] == f"{EXPORTS}/{asked.json()['id']}"
    assert "x-operation-id" not in asked.headers
    job = ended(http, asked.json()["id"])
    assert job["state"] == "succeeded", job
    return job, http.get(f"{EXPORTS}/{job['id']}/download").raise_for_status().content


def lines(content: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in content.splitlines()]


def listed(http: httpx.Client, source: str, **filters: Any) -> list[dict[str, Any]]:
    """What the source's list says, oldest first."""
    path, member = LISTS[source]
    found: list[dict[str, Any]] = http.get(path, params={"limit": 200, **filters}).raise_for_status().json()[member]
    assert found
    return found[::-1]


@pytest.mark.parametrize("source", LISTS)
def test_a_line_is_what_the_list_answers(admin: httpx.Client, source: str) -> None:
    job, content = exported(admin, source, **STILL[source])
    assert lines(content) == listed(admin, source, **STILL[source])
    assert (job["source"], job["rows"], job["progress"], job["manifest"]["checkpoint"]) == (
        source, len(lines(content)), 1.0, None,
    )  # fmt: skip
    assert b"argon2" not in content
    assert b"password" not in content


@pytest.mark.parametrize("source", LISTS)
def test_a_cell_is_what_the_list_answers_and_never_a_formula(admin: httpx.Client, source: str) -> None:
    _, content = exported(admin, source, "csv", **STILL[source])
    head, *rows = list(csv.reader(content.decode().splitlines(keepends=True)))
    wanted = listed(admin, source, **STILL[source])
    assert head == list(wanted[0])
    assert all(not cell.startswith(("=", "+", "-", "@", "\t", "\r")) for row in rows for cell in row)
    assert any(FORMULA in cell for row in rows for cell in row)
    for row, body in zip(rows, wanted, strict=True):
        for name, cell in zip(head, row, strict=True):
            assert _of_text(restored(cell), body[name]) == body[name], name


def _of_text(cell: str, like: object) -> object:
    match like:
        case None:
            return cell or None
        case bool() | int() | dict():
            return json.loads(cell)
        case _:
            return cell


@pytest.mark.parametrize("source", LISTS)
def test_a_parquet_file_has_the_types_and_values_of_the_list(admin: httpx.Client, source: str, tmp_path: Path) -> None:
    _, content = exported(admin, source, "parquet", **STILL[source])
    path = tmp_path / "one.parquet"
    path.write_bytes(content)
    wanted = listed(admin, source, **STILL[source])
    texts = [name for name in wanted[0] if name not in TIMES]
    with duckdb.connect() as database:
        types = dict(database.execute(f"SELECT column_name, column_type FROM (DESCRIBE FROM '{path}')").fetchall())
        rows = database.execute(f"SELECT {', '.join(texts)} FROM '{path}'").fetchall()
    assert list(types) == list(wanted[0])
    assert types["created_at"] == "TIMESTAMP WITH TIME ZONE"
    booleans = {"users": {"is_active", "awaits_activation"}, "security_events": {"resolved"}}[source]
    assert {name for name, kind in types.items() if kind == "BOOLEAN"} == booleans
    found = [dict(zip(texts, row, strict=True)) for row in rows]
    for one in found:
        if "details" in one:
            one["details"] = json.loads(one["details"])
    assert found == [{name: one[name] for name in texts} for one in wanted]


@pytest.mark.parametrize(
    ("source", "filters", "canonical"),
    [
        ("users", {"role": "moderator"}, {"role": "moderator"}),
        ("users", {"q": "ONE2"}, {"q": "ONE2"}),
        ("users", {"search": "one", "is_active": True}, {"search": "one", "is_active": True}),
        ("security_events", {"severity": "high"}, {"severity": ["high"]}),
        ("security_events", {"severity": ["high", "low"], "event_type": "type_1"},
         {"severity": ["high", "low"], "event_type": ["type_1"]}),
        ("security_events", {"resolved": True}, {"resolved": True}),
        ("security_events", {"rule": "a_rule", "ip_address": "203.0.113.7"},
         {"rule": "a_rule", "ip_address": "203.0.113.7"}),
    ],
)  # fmt: skip
def test_filters_are_those_of_the_list(
    admin: httpx.Client, source: str, filters: dict[str, Any], canonical: dict[str, Any]
) -> None:
    filters, canonical = {**filters, **STILL[source]}, {**canonical, **STILL[source]}
    job, content = exported(admin, source, **filters)
    assert (job["filters"], job["manifest"]["query"]) == (canonical, canonical)
    found = listed(admin, source, **filters)
    assert lines(content) == found
    every = len(listed(admin, source, **STILL[source]))
    assert len(found) < every or "ip_address" in filters


@pytest.mark.parametrize("source", LISTS)
def test_a_date_range_is_of_the_creation_and_includes_its_ends(admin: httpx.Client, source: str) -> None:
    every = listed(admin, source, **STILL[source])
    moments = sorted(one["created_at"] for one in every)
    between = {"date_from": moments[1], "date_to": moments[-2], **STILL[source]}
    _, content = exported(admin, source, **between)
    wanted = [one for one in every if moments[1] <= one["created_at"] <= moments[-2]]
    assert lines(content) == wanted == listed(admin, source, **between)


@pytest.mark.parametrize(
    ("source", "body", "code", "says"),
    [
        ("users", {"filters": {"password_hash": "x"}}, "validation_error", "password_hash"),
        ("users", {"filters": {"limit": 1}}, "validation_error", "limit"),
        ("users", {"filters": {"date_from": 0}}, "validation_error", "must be a time"),
        ("users", {"filters": {"date_from": "2026-01-01T00:00:00"}}, "validation_error", "timezone"),
        ("users", {"filters": {"is_active": []}}, "validation_error", "is_active"),
        ("security_events", {"filters": {"severity": "worst"}}, "validation_error", "critical"),
        ("security_events", {"filters": {"ip_address": "here"}}, "validation_error", "IP address"),
        ("security_events", {"format": "ocsf"}, "unknown_format", "parquet"),
        ("users", {"format": "ocsf", "ocsf_version": "1.8.0"}, "unknown_format", "parquet"),
    ],
)
def test_what_is_wrong_with_a_question_is_named_and_leaves_nothing(
    admin: httpx.Client, source: str, body: dict[str, Any], code: str, says: str
) -> None:
    before = admin.get(EXPORTS).json()["total"]
    refused = admin.post(EXPORTS, json={"source": source, "format": "csv", **body})
    assert (refused.status_code, refused.json()["detail"]["error"]) == (422, code), refused.text
    assert says in refused.text
    assert admin.get(EXPORTS).json()["total"] == before


def with_role(house: House, *permissions: str) -> httpx.Client:
    """Somebody whose role has these permissions."""
    name, email = f"role_{new_id()[-12:]}", f"u{new_id()}@example.com"
    with house.client() as first:
        role = {"description": "Exports.", "permissions": list(permissions)}
        first.put(f"{ADMIN}/roles/{name}", json=role).raise_for_status()
        user = {"email": email, "name": "Somebody", "role": name, "password": PASSWORD}
        first.post(f"{ADMIN}/users", json=user).raise_for_status()
    with house.client(None) as stranger:
        signed_in = stranger.post(f"{ADMIN}/auth/login", json={"email": email, "password": PASSWORD})
    client = house.client(None)
    client.headers["authorization"] = f"Bearer {signed_in.raise_for_status().json()['access_token']}"
    return client


def test_a_source_needs_its_own_permission_too(kept: House, admin: httpx.Client) -> None:
    job, _ = exported(admin, "users")
    body = {"source": "users", "format": "csv"}
    with kept.client("viewer") as viewer:
        assert viewer.post(EXPORTS, json=body).json()["detail"]["required_permission"] == "exports:create"
    with with_role(kept, "exports:create", "exports:read", "users:read") as one:
        refused = one.post(EXPORTS, json={**body, "source": "security_events"})
        assert (refused.status_code, refused.json()["detail"]["required_permission"]) == (403, "security:read")
        mine, _ = exported(one, "users")
        assert [found["id"] for found in one.get(EXPORTS).json()["exports"]] == [mine["id"]]
    with with_role(kept, "exports:create", "exports:read", "security:read") as other:
        refused = other.post(EXPORTS, json=body)
        assert (refused.status_code, refused.json()["detail"]["required_permission"]) == (403, "users:read")
        for path in (f"/{job['id']}", f"/{job['id']}/download"):
            assert other.get(f"{EXPORTS}{path}").json()["detail"]["required_permission"] == "users:read"
        theirs, _ = exported(other, "security_events")
    with kept.client("admin") as somebody:
        for export_id in (job["id"], theirs["id"], new_id()):
            assert somebody.get(f"{EXPORTS}/{export_id}").status_code == 404
        assert somebody.delete(f"{EXPORTS}/{job['id']}").json()["detail"]["error"] == "export_not_found"
    assert admin.get(f"{EXPORTS}/{job['id']}").json()["state"] == "succeeded"


def test_ending_takes_the_file_away_and_may_be_repeated(admin: httpx.Client) -> None:
    job, _ = exported(admin, "users")
    for _ in range(2):
        assert admin.delete(f"{EXPORTS}/{job['id']}").status_code == 204
    gone = admin.get(f"{EXPORTS}/{job['id']}/download")
    assert (gone.status_code, gone.json()["detail"]["error"]) == (410, "export_expired")
    assert admin.get(f"{EXPORTS}/{job['id']}").json()["state"] == "expired"


def test_a_key_used_twice_makes_one_job(admin: httpx.Client) -> None:
    before = admin.get(EXPORTS).json()["total"]
    body, headers = {"source": "users", "format": "csv"}, {"idempotency-key": new_id()}
    one, again = (admin.post(EXPORTS, json=body, headers=headers) for _ in range(2))
    assert (one.status_code, again.status_code, again.json()["id"]) == (201, 201, one.json()["id"])
    ended(admin, one.json()["id"])
    assert admin.get(EXPORTS).json()["total"] == before + 1


def test_sources_of_two_services_are_one_list(admin: httpx.Client) -> None:
    users, _ = exported(admin, "users")
    audit = admin.post(EXPORTS, json={"source": "audit", "format": "csv"}).raise_for_status().json()
    events, _ = exported(admin, "security_events")
    ended(admin, audit["id"])
    page = admin.get(f"{EXPORTS}?limit=2").json()
    rest = admin.get(f"{EXPORTS}?limit=2&cursor={page['next_cursor']}").json()
    found = [one["id"] for one in page["exports"] + rest["exports"]]
    assert found[:3] == [events["id"], audit["id"], users["id"]]


def test_a_download_goes_on_and_a_link_opens_it(kept: House, admin: httpx.Client) -> None:
    job, content = exported(admin, "security_events")
    rest = admin.get(f"{EXPORTS}/{job['id']}/download", headers={"range": "bytes=10-"})
    assert (rest.status_code, rest.content) == (206, content[10:])
    with kept.client(None) as stranger:
        opened = stranger.get(job["download_url"])
        assert (opened.status_code, opened.content) == (200, content)
        assert opened.headers["content-disposition"].startswith("attachment;")
        assert stranger.get(f"{EXPORTS}/{job['id']}/download").status_code == 401


def test_each_step_is_in_the_audit_log_once(admin: httpx.Client) -> None:
    job, _ = exported(admin, "users", q="one1")
    admin.delete(f"{EXPORTS}/{job['id']}").raise_for_status()
    deadline = time.monotonic() + 20
    while True:
        history = admin.get(f"{ADMIN}/audit/targets/export/{job['id']}?limit=200").json()["history"]
        actions = [entry["action"] for entry in history]
        if {"end_export", "finish_export"} <= set(actions):
            break
        assert time.monotonic() < deadline, actions
        time.sleep(0.1)
    for action in ("start_export", "finish_export", "download_export", "end_export"):
        assert actions.count(action) == 1, action
    started = history[actions.index("start_export")]
    assert (started["admin_username"], started["operation_id"]) == ("first@example.com", None)
    assert started["details"]["filters"] == {"q": "one1"}
    assert started["details"]["export_source"] == "users"


def test_whoever_is_erased_is_in_no_file_any_more(kept: House, admin: httpx.Client) -> None:
    with with_role(kept, "exports:create", "exports:read", "users:read") as one:
        _, content = exported(one, "users")
        user_id = one.get(f"{ADMIN}/auth/me").json()["id"]
    assert user_id.encode() in content
    job, _ = exported(admin, "users")
    admin.delete(f"{ADMIN}/users/{user_id}?confirm=true&erase=true").raise_for_status()
    gone = admin.get(f"{EXPORTS}/{job['id']}/download")
    assert (gone.status_code, gone.json()["detail"]["error"]) == (410, "export_expired")
    _, content = exported(admin, "users")
    erased = next(line for line in lines(content) if line["id"] == user_id)
    assert (erased["email"], erased["name"]) == (f"{user_id}@erased.invalid", "Erased")
