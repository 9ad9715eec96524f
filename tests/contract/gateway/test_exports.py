"""Exports through the whole platform: whose they are, how they are fetched, and that each step is recorded."""

import gzip
import hashlib
import json
import time
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import httpx
import pytest

from libs.common.ids import new_id
from tests.support.house import ADMIN, House

EXPORTS = f"{ADMIN}/exports"


def wait_for(http: httpx.Client, export_id: str, state: str = "succeeded") -> dict[str, Any]:
    deadline = time.monotonic() + 30
    while True:
        job: dict[str, Any] = http.get(f"{EXPORTS}/{export_id}").raise_for_status().json()
        if job["state"] == state:
            return job
        assert job["state"] in ("queued", "running"), job
        assert time.monotonic() < deadline, job
        time.sleep(0.05)


def exported(http: httpx.Client, **given: Any) -> dict[str, Any]:
    asked = http.post(EXPORTS, json={"source": "audit", "format": "jsonl", **given})
    assert asked.status_code == 201, asked.text
    assert asked.headers["location"] == f"{EXPORTS}/{asked.json()['id']}"
    assert asked.json()["state"] == "queued"
    return wait_for(http, asked.json()["id"])


@pytest.fixture
def admin(house: House) -> Iterator[httpx.Client]:
    """The first administrator, with no exports left over."""
    with house.client() as http:
        yield http
        for one in http.get(EXPORTS).json()["exports"]:
            http.delete(f"{EXPORTS}/{one['id']}").raise_for_status()


def test_an_export_is_asked_for_polled_and_downloaded(admin: httpx.Client) -> None:
    job = exported(admin, filters={"action": "sign_in"}, compression="gzip")
    downloaded = admin.get(f"{EXPORTS}/{job['id']}/download")
    assert downloaded.status_code == 200
    lines = [json.loads(line) for line in gzip.decompress(downloaded.content).splitlines()]
    assert len(lines) == job["rows"] > 0
    assert {line["action"] for line in lines} == {"sign_in"}
    assert downloaded.headers["content-disposition"].startswith("attachment;")
    assert downloaded.headers["content-type"] == "application/gzip"
    assert hashlib.sha256(downloaded.content).hexdigest() == job["manifest"]["file"]["sha256"]
    assert (job["progress"], job["error"], job["manifest"]["query"]) == (1.0, None, {"action": ["sign_in"]})
    keys = admin.get(f"{EXPORTS}/keys").json()["keys"]
    # The audit service's and the gateway's.
    assert (len(keys), [key for key in keys if "d" in key]) == (2, [])


@pytest.mark.parametrize("export_format", ["csv", "parquet", "ocsf"])
def test_every_format_comes_through(admin: httpx.Client, export_format: str) -> None:
    job = exported(admin, format=export_format)
    content = admin.get(f"{EXPORTS}/{job['id']}/download").raise_for_status().content
    assert len(content) == job["bytes"] > 0


def test_a_link_opens_one_download_without_a_token(house: House, admin: httpx.Client) -> None:
    job, other = exported(admin), exported(admin, format="csv")
    link = job["download_url"]
    with house.client(None) as stranger:
        opened = stranger.get(link)
        assert (opened.status_code, hashlib.sha256(opened.content).hexdigest()) == (
            200, job["manifest"]["file"]["sha256"],
        )  # fmt: skip
        text = link.partition("link=")[2]
        for target, code in (
            (f"{EXPORTS}/{other['id']}/download?link={text}", "invalid_link"),
            (f"{EXPORTS}/{job['id']}/download?link={text[:-2]}AA", "invalid_link"),
            (f"{EXPORTS}/{job['id']}/download?link=", "invalid_link"),
            (f"{EXPORTS}/{job['id']}/download", "not_authenticated"),
            (f"{EXPORTS}/{job['id']}?link={text}", "not_authenticated"),
        ):
            refused = stranger.get(target)
            assert (refused.status_code, refused.json()["detail"]["error"]) == (401, code), target


def test_a_link_ends_with_the_session_that_asked_for_it(house: House) -> None:
    with house.client(None) as http:
        email = {"email": "first@example.com", "password": "correct horse battery"}
        token = http.post(f"{ADMIN}/auth/login", json=email).json()["access_token"]
        http.headers["authorization"] = f"Bearer {token}"
        job = exported(http)
        assert httpx.get(f"{house.url}{job['download_url']}").status_code == 200
        http.post(f"{ADMIN}/auth/logout").raise_for_status()
    refused = httpx.get(f"{house.url}{job['download_url']}")
    assert (refused.status_code, refused.json()["detail"]["error"]) == (401, "invalid_token")
    with house.client() as admin:
        admin.delete(f"{EXPORTS}/{job['id']}").raise_for_status()


def test_a_download_that_stopped_goes_on(admin: httpx.Client) -> None:
    job = exported(admin)
    whole = admin.get(f"{EXPORTS}/{job['id']}/download")
    etag = whole.headers["etag"]
    rest = admin.get(f"{EXPORTS}/{job['id']}/download", headers={"range": "bytes=100-", "if-range": etag})
    assert (rest.status_code, rest.content) == (206, whole.content[100:])
    assert rest.headers["content-range"].startswith("bytes 100-")
    past = admin.get(f"{EXPORTS}/{job['id']}/download", headers={"range": f"bytes={job['bytes']}-"})
    assert past.status_code == 416


def test_whoever_hangs_up_in_the_middle_leaves_the_platform_as_it_was(admin: httpx.Client) -> None:
    job = exported(admin)
    for _ in range(5):
        with admin.stream("GET", f"{EXPORTS}/{job['id']}/download") as answer:
            assert answer.status_code == 200
    assert admin.get(f"{EXPORTS}/{job['id']}/download").status_code == 200


def test_an_export_is_its_owners(house: House, admin: httpx.Client) -> None:
    job = exported(admin)
    with house.client("admin") as other:
        for target in (f"{EXPORTS}/{job['id']}", f"{EXPORTS}/{job['id']}/download", f"{EXPORTS}/{new_id()}"):
            refused = other.get(target)
            assert (refused.status_code, refused.json()["detail"]["error"]) == (404, "export_not_found")
        assert other.delete(f"{EXPORTS}/{job['id']}").status_code == 404
        assert other.get(EXPORTS).json()["exports"] == []
    assert admin.get(f"{EXPORTS}/{job['id']}").json()["state"] == "succeeded"


def test_both_permissions_are_needed(house: House, admin: httpx.Client) -> None:
    job = exported(admin)
    with house.client("viewer") as viewer:
        assert viewer.get(EXPORTS).json()["exports"] == []
        # The gateway's, whose accounts and security events they may read.
        assert len(viewer.get(f"{EXPORTS}/keys").json()["keys"]) == 1
        for method, target, needed in (
            ("POST", EXPORTS, "exports:create"),
            ("DELETE", f"{EXPORTS}/{job['id']}", "exports:create"),
            ("GET", f"{EXPORTS}/{job['id']}", "audit:export"),
            ("GET", f"{EXPORTS}/{job['id']}/download", "audit:export"),
        ):
            refused = viewer.request(method, target)
            assert (refused.status_code, refused.json()["detail"]["required_permission"]) == (403, needed)
    with house.client("moderator") as moderator:
        assert moderator.get(EXPORTS).json()["detail"]["required_permission"] == "exports:read"


def test_the_list_is_walked_by_cursor(admin: httpx.Client) -> None:
    ids = [exported(admin, filters={"q": f"word{number}"})["id"] for number in range(3)]
    first = admin.get(f"{EXPORTS}?limit=2").json()
    assert ([one["id"] for one in first["exports"]], first["total"], first["total_is_exact"]) == (
        ids[:0:-1], first["total"], True,
    )  # fmt: skip
    second = admin.get(f"{EXPORTS}?limit=2&cursor={first['next_cursor']}").json()
    assert second["exports"][0]["id"] == ids[0]
    assert admin.get(f"{EXPORTS}?limit=1&skip=2").json()["exports"][0]["id"] == ids[0]
    refused = admin.get(f"{EXPORTS}?cursor=x")
    assert (refused.status_code, refused.json()["detail"]["error"]) == (422, "invalid_cursor")


def test_what_is_wrong_with_a_request_is_named(admin: httpx.Client) -> None:
    for body, code, says in (
        ({"source": "nowhere", "format": "csv"}, "unknown_source", "audit"),
        ({"source": "audit", "format": "xlsx"}, "validation_error", "'csv', 'jsonl', 'parquet' or 'ocsf'"),
        ({"source": "audit", "format": "csv", "compression": "rar"}, "validation_error", "gzip"),
        ({"source": "audit", "format": "csv", "filters": {"outcome": "no"}}, "validation_error", "'denied'"),
        ({"source": "audit", "format": "csv", "ocsf_version": "1.8.0"}, "validation_error", "ocsf"),
        ({"source": "audit", "format": "ocsf", "ocsf_version": "9"}, "unknown_ocsf_version", "1.8.0"),
        ({"source": "audit", "format": "csv", "owner_id": "me"}, "validation_error", "owner_id"),
    ):
        refused = admin.post(EXPORTS, json=body)
        assert (refused.status_code, refused.json()["detail"]["error"]) == (422, code), body
        assert says in refused.text


def test_each_step_is_in_the_audit_log(house: House, admin: httpx.Client) -> None:
    job = exported(admin)
    admin.get(f"{EXPORTS}/{job['id']}/download").raise_for_status()
    httpx.get(f"{house.url}{job['download_url']}").raise_for_status()
    admin.delete(f"{EXPORTS}/{job['id']}").raise_for_status()
    deadline = time.monotonic() + 20
    while True:
        history = admin.get(f"{ADMIN}/audit/targets/export/{job['id']}?limit=200").json()["history"]
        actions = [entry["action"] for entry in history]
        if "end_export" in actions:
            break
        assert time.monotonic() < deadline, actions
        time.sleep(0.1)
    assert {"start_export", "finish_export", "view_export", "download_export", "end_export"} <= set(actions)
    downloads = [entry for entry in history if entry["action"] == "download_export"]
    assert len(downloads) == 2
    assert {entry["admin_username"] for entry in downloads} == {"first@example.com"}
    assert job["download_url"].partition("link=")[2] not in json.dumps(history)
    gone = admin.get(f"{EXPORTS}/{job['id']}/download")
    assert (gone.status_code, gone.json()["detail"]["error"]) == (410, "export_expired")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", f"/exports/{UUID(int=0)}", 404),
        ("GET", f"/exports/{UUID(int=1)}", 404),
        ("GET", f"/users/{UUID(int=0)}", 404),
        ("GET", "/settings/there.is.none", 404),
        ("GET", "/exports/no-id", 422),
        ("POST", "/exports", 422),
        ("GET", "/exports", 200),
    ],
)
def test_every_answer_says_what_is_left_of_the_limit_whoever_found_the_error(
    house: House, method: str, path: str, status: int
) -> None:
    with house.client() as http:
        answer = http.request(method, f"{ADMIN}{path}", json={} if method == "POST" else None)
    assert answer.status_code == status, answer.text
    for name in ("ratelimit", "ratelimit-policy"):
        assert len(answer.headers.get_list(name)) == 1
