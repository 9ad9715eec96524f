"""Every route that reads a body refuses what is malformed, oversized, unknown or not the caller's to say."""

import gzip
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from libs.common.ids import new_id
from tests.support.house import ADMIN, House

USER = "01a1fdd2-753a-7012-81ca-9be4897e0a00"
SETTING = {"key": "plain.one", "value_type": "integer", "value": 1}
BODIES: dict[tuple[str, str], dict[str, Any]] = {
    ("POST", f"{ADMIN}/settings"): SETTING,
    ("PUT", f"{ADMIN}/settings/maintenance_mode"): {"value": True},
    ("PATCH", f"{ADMIN}/settings/maintenance_mode"): {"description": "Closed."},
    ("POST", f"{ADMIN}/settings/maintenance_mode/rollback"): {"version": 1},
    ("POST", f"{ADMIN}/notifications"): {"type": "note", "title": "Hello"},
    ("POST", f"{ADMIN}/notifications/alerts"): {"alert_type": "system", "title": "Slow"},
    ("PUT", f"{ADMIN}/notifications/alerts/{USER}/resolve"): {"resolution_notes": "done"},
    ("POST", f"{ADMIN}/auth/login"): {"email": "nobody@example.com", "password": "not the password"},
    ("POST", f"{ADMIN}/auth/refresh"): {"refresh_token": "not a token"},
    ("POST", f"{ADMIN}/auth/activate"): {"token": "x", "password": "a longer one"},
    ("POST", f"{ADMIN}/auth/password/forgot"): {"email": "nobody@example.com"},
    ("POST", f"{ADMIN}/auth/password/reset"): {"token": "x", "password": "a longer one"},
    ("POST", f"{ADMIN}/auth/mfa/totp/confirm"): {"otp": "123456"},
    ("PUT", f"{ADMIN}/auth/password"): {"old_password": "x", "new_password": "a longer one"},
    ("POST", f"{ADMIN}/auth/step-up"): {"password": "x"},
    ("POST", f"{ADMIN}/users"): {"email": "made@example.com", "name": "Made", "role": "viewer"},
    ("POST", f"{ADMIN}/users/bulk"): {"ids": [USER], "operation": "set_role", "role": "viewer"},
    ("PATCH", f"{ADMIN}/users/{USER}"): {"name": "Made"},
    ("PUT", f"{ADMIN}/users/{USER}/role"): {"role": "viewer"},
    ("PUT", f"{ADMIN}/security/ip-rules"): {"allow": [], "deny": []},
    ("PUT", f"{ADMIN}/security/events/{USER}/resolve"): {"notes": "A colleague."},
    ("PUT", f"{ADMIN}/security/rules/made"): {
        "kind": "failed_login",
        "group_by": "user",
        "threshold": 9,
        "window_seconds": 60,
        "cooldown_seconds": 60,
        "severity": "low",
    },
    ("POST", f"{ADMIN}/security/rules/dry-run"): {
        "rule": {
            "kind": "failed_login",
            "group_by": "user",
            "threshold": 9,
            "window_seconds": 60,
            "cooldown_seconds": 60,
            "severity": "low",
        },
        "hours": 1,
    },
    ("PUT", f"{ADMIN}/users/{USER}/status"): {"is_active": True, "reason": "back again"},
    ("PUT", f"{ADMIN}/roles/made"): {"permissions": ["audit:read"], "level": "read", "description": "Made."},
    ("POST", f"{ADMIN}/access/requests"): {"permission": "billing:read", "reason": "the quarter's close"},
    ("POST", f"{ADMIN}/access/requests/{USER}/approve"): {"until": "2026-01-01T00:00:00Z"},
    ("POST", f"{ADMIN}/access/requests/{USER}/reject"): {"reason": "ask finance"},
    ("POST", f"{ADMIN}/approvals/{USER}/reject"): {"reason": "two are enough"},
    ("POST", f"{ADMIN}/exports"): {"source": "audit", "format": "jsonl"},
    ("POST", f"{ADMIN}/audit/saved-searches"): {"name": "mine", "filters": {}},
    ("POST", f"{ADMIN}/audit/redactions"): {"subject_type": "user", "subject_id": USER, "reason": "case 1"},
    ("PUT", f"{ADMIN}/audit/retention"): {"default_days": 400, "types": {}},
    ("POST", f"{ADMIN}/audit/retention/holds"): {"name": "Case 12", "reason": "a court asks", "filter": {}},
    ("POST", f"{ADMIN}/audit/retention/holds/{USER}/lift"): {"reason": "closed"},
    ("POST", f"{ADMIN}/audit/retention/run"): {"dry_run": True},
    ("POST", f"{ADMIN}/audit/sinks"): {"name": "SIEM", "target": {"kind": "syslog", "host": "siem.example.com"}},
    ("PUT", f"{ADMIN}/audit/sinks/{USER}"): {"name": "SIEM", "target": {"kind": "syslog", "host": "siem.example.com"}},
    ("PUT", f"{ADMIN}/events/catalog/com.shop.made.v1"): {"json_schema": {"type": "object"}, "example": {}},
    ("POST", f"{ADMIN}/clients"): {"name": "Made", "source": "/platform/made"},
    ("POST", f"{ADMIN}/audit/verify"): {"first": 0, "count": 256},
}
"""A body that each route would take."""
EVERY = pytest.mark.parametrize(("method", "path"), BODIES, ids=[f"{method} {path[13:]}" for method, path in BODIES])
UNREADABLE = {
    "half an object": b'{"a": 1',
    "no JSON": b"hello",
    "two values": b"{} {}",
    "a key twice": b'{"role": "viewer", "role": "super_admin"}',
    "NaN": b'{"value": NaN}',
    "Infinity": b'{"value": -Infinity}',
    "an integer of 5,000 digits": b'{"value": ' + b"9" * 5000 + b"}",
    "a number out of range": b'{"value": 1e999}',
    "100,000 brackets": b"[" * 100_000,
    "33 levels": b'{"a":' * 33 + b"1" + b"}" * 33,
    "10,001 keys": json.dumps({str(number): 1 for number in range(10_001)}).encode(),
    "U+0000": b'{"value": "a\\u0000b"}',
    "half a surrogate pair": b'{"value": "\\ud800"}',
    "not UTF-8": b'{"value": "\xff"}',
}


@pytest.fixture(scope="module")
def http(house: House) -> Iterator[httpx.Client]:
    with house.client() as client:
        yield client


def send(http: httpx.Client, method: str, path: str, body: bytes, **headers: str) -> httpx.Response:
    kind = {"content-type": "application/json", **headers}
    return http.request(method, path, content=body, headers=kind)


def refused(answer: httpx.Response, status: int, error: str) -> dict[str, Any]:
    """The detail of a refusal, which has the house shape and an id."""
    assert (answer.status_code, answer.json()["detail"]["error"]) == (status, error), answer.text
    assert answer.headers["x-request-id"]
    detail: dict[str, Any] = answer.json()["detail"]
    assert detail["message"]
    return detail


def test_every_route_that_reads_json_is_here(http: httpx.Client) -> None:
    paths = http.get("/api/v1/openapi.json").json()["paths"]
    reading = {
        (method.upper(), path)
        for path, operations in paths.items()
        for method, operation in operations.items()
        if "application/json" in operation.get("requestBody", {}).get("content", {})
    }
    assert len(reading) == len(BODIES)


@EVERY
def test_unreadable_json_is_400(http: httpx.Client, method: str, path: str) -> None:
    for name, body in UNREADABLE.items():
        answer = send(http, method, path, body)
        assert (answer.status_code, answer.json()["detail"]["error"]) == (400, "malformed_json"), name


@EVERY
def test_a_body_over_1_mib_is_413(http: httpx.Client, method: str, path: str) -> None:
    body = b'{"value": "' + b"a" * (1024 * 1024 - 12) + b'"}'
    refused(send(http, method, path, body), 413, "body_too_large")


@EVERY
def test_a_body_over_1_mib_without_a_length_is_413(http: httpx.Client, method: str, path: str) -> None:
    parts = iter([b'{"value": "' + b"a" * 65536, *[b"a" * 65536] * 17])
    answer = http.request(method, path, content=parts, headers={"content-type": "application/json"})
    refused(answer, 413, "body_too_large")


@EVERY
@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"])
def test_another_content_type_is_415(http: httpx.Client, method: str, path: str, kind: str) -> None:
    body = json.dumps(BODIES[method, path]).encode()
    refused(send(http, method, path, body, **{"content-type": kind}), 415, "unsupported_media_type")


@EVERY
def test_a_compressed_body_is_415(http: httpx.Client, method: str, path: str) -> None:
    bomb = gzip.compress(b"[" * 10_000_000)
    refused(send(http, method, path, bomb, **{"content-encoding": "gzip"}), 415, "unsupported_media_type")


@EVERY
@pytest.mark.parametrize("body", [b"[]", b'"text"', b"17", b"null", b"true"])
def test_anything_but_an_object_is_422(http: httpx.Client, method: str, path: str, body: bytes) -> None:
    refused(send(http, method, path, body), 422, "validation_error")


@EVERY
def test_no_body_is_422(http: httpx.Client, method: str, path: str) -> None:
    refused(http.request(method, path), 422, "validation_error")


@EVERY
def test_members_of_the_wrong_type_are_422_and_not_echoed(http: httpx.Client, method: str, path: str) -> None:
    for member in BODIES[method, path]:
        if member in ("value", "default_value", "json_schema", "example"):
            continue  # any JSON, or any object, is taken there, or refused for what it says
        wrong = {**BODIES[method, path], member: {"canary-kvq7": ["canary-kvq7"]}}
        detail = refused(send(http, method, path, json.dumps(wrong).encode()), 422, "validation_error")
        assert any(error["loc"][:2] == ["body", member] for error in detail["errors"]), member
        assert "canary-kvq7" not in json.dumps([error["msg"] for error in detail["errors"]])


@EVERY
@pytest.mark.parametrize(
    "member",
    ["id", "role", "is_active", "created_by", "created_at", "updated_by", "version", "permissions", "tenant", "admin_user_id",
     "is_superuser", "origin", "actor", "password_hash", "client_secret", "__proto__", "action"],
)  # fmt: skip
def test_a_member_that_is_not_the_callers_to_say_is_422(
    http: httpx.Client, method: str, path: str, member: str
) -> None:
    if member in BODIES[method, path]:
        return
    body = json.dumps({**BODIES[method, path], member: 1}).encode()
    detail = refused(send(http, method, path, body), 422, "validation_error")
    assert [(error["loc"], error["type"]) for error in detail["errors"]] == [(["body", member], "extra_forbidden")]


@EVERY
def test_an_unknown_query_parameter_is_422(http: httpx.Client, method: str, path: str) -> None:
    answer = http.request(method, path, params={"role": "super_admin"}, json=BODIES[method, path])
    detail = refused(answer, 422, "validation_error")
    assert detail["errors"][0]["loc"] == ["query", "role"]


def test_a_refused_body_changes_nothing(http: httpx.Client) -> None:
    body = {"email": "mass@example.com", "name": "Mass", "role": "viewer", "is_active": True}
    assert http.post(f"{ADMIN}/users", json=body).status_code == 422
    assert http.get(f"{ADMIN}/users", params={"q": "mass@example.com"}).json()["total"] == 0


@pytest.mark.parametrize(
    "path",
    ["settings", "settings/maintenance_mode", "settings/maintenance_mode/history", "audit/logs", "audit/stats",
     "audit/actions", "notifications", "notifications/recent", "notifications/unread-count", "notifications/alerts",
     "users", "clients", "roles", "access/requests", "access/explain", "approvals", "system/health", "events/catalog", "stream"],
)  # fmt: skip
def test_an_unknown_query_parameter_of_a_read_is_422(http: httpx.Client, path: str) -> None:
    detail = refused(http.get(f"{ADMIN}/{path}", params={"no_such": "1"}), 422, "validation_error")
    assert detail["errors"][0]["loc"] == ["query", "no_such"]


@pytest.mark.parametrize(
    "path",
    [
        "settings",
        "audit/logs",
        "notifications",
        "notifications/alerts",
        "users",
        "clients",
        "roles",
        "access/requests",
        "approvals",
    ],
)
def test_paging_has_its_bounds(http: httpx.Client, path: str) -> None:
    wrong: list[tuple[dict[str, int | str], str]] = [
        ({"limit": 0}, "validation_error"), ({"limit": 201}, "validation_error"), ({"limit": "many"}, "validation_error"),
        ({"skip": -1}, "validation_error"), ({"skip": 10_001}, "use_cursor"), ({"cursor": "made-up"}, "invalid_cursor"),
        ({"skip": 1, "cursor": "made-up"}, "invalid_cursor"),
    ]  # fmt: skip
    for params, error in wrong:
        refused(http.get(f"{ADMIN}/{path}", params=params), 422, error)
    refused(http.get(f"{ADMIN}/{path}?limit=1&limit=2"), 422, "validation_error")


@pytest.mark.parametrize(
    "path",
    [
        "users/x",
        "clients/x",
        "access/requests/x",
        "approvals/x",
        "notifications/x",
        "notifications/alerts/x",
        "audit/logs/x",
        "operations/x",
    ],
)
def test_a_malformed_id_is_422(http: httpx.Client, path: str) -> None:
    refused(http.get(f"{ADMIN}/{path}"), 422, "validation_error")


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("users", "user_not_found"), ("clients", "client_not_found"), ("notifications", "notification_not_found"),
        ("notifications/alerts", "alert_not_found"), ("audit/logs", "audit_log_not_found"),
        ("operations", "operation_not_found"), ("access/requests", "access_request_not_found"),
        ("approvals", "approval_not_found"),
    ],
)  # fmt: skip
def test_an_id_that_nothing_has_is_404(http: httpx.Client, path: str, error: str) -> None:
    refused(http.get(f"{ADMIN}/{path}/{new_id()}"), 404, error)


def test_deleting_a_setting_needs_a_confirmation(http: httpx.Client) -> None:
    refused(http.delete(f"{ADMIN}/settings/maintenance_mode"), 400, "confirmation_required")
    refused(http.delete(f"{ADMIN}/settings/maintenance_mode?confirm=false"), 400, "confirmation_required")


@pytest.mark.parametrize("tag", ['"7"', 'W/"1"', "1", '"1", "2"', "x"])
def test_an_if_match_that_does_not_hold_is_412(http: httpx.Client, tag: str) -> None:
    answer = http.put(f"{ADMIN}/settings/store_trial_days", json={"value": 3}, headers={"if-match": tag})
    refused(answer, 412, "version_conflict")


def event(**changed: Any) -> dict[str, Any]:
    made = {
        "specversion": "1.0", "id": new_id(), "source": "/platform/shop", "type": "com.shop.order.placed",
        "data": {"order": 1},
    }  # fmt: skip
    return {name: value for name, value in {**made, **changed}.items() if value is not ...}


EVENTS = "/api/v1/events"
STRUCTURED = {"content-type": "application/cloudevents+json"}
BATCH = {"content-type": "application/cloudevents-batch+json"}
REFUSED_EVENTS = [
    pytest.param(event(source="/platform/other"), 403, "source_not_allowed", id="another's source"),
    pytest.param(event(source="/reeve/gateway"), 403, "source_not_allowed", id="our own source"),
    pytest.param(event(type="com.other.thing"), 403, "event_type_not_allowed", id="another's type"),
    pytest.param(event(type="reeve.setting.changed.v1"), 403, "event_type_not_allowed", id="our own type"),
    pytest.param(event(source="/platform/other", type="reeve.x.v1"), 403, "source_not_allowed", id="source is first"),
    pytest.param(event(type="platform.no.such.v1"), 422, "unknown_event_type", id="unknown platform type"),
    pytest.param(event(type="platform.import.completed.v9"), 422, "unknown_event_type", id="unknown version"),
    pytest.param(
        event(type="platform.import.failed.v1", data={"job_id": {"no": 1}}), 422, "invalid_event", id="data breaks schema"
    ),
    pytest.param(event(specversion="0.3"), 422, "invalid_event", id="older CloudEvents"),
    pytest.param(event(id=...), 422, "invalid_event", id="no id"),
    pytest.param(event(id=""), 422, "invalid_event", id="empty id"),
    pytest.param(event(source=...), 422, "invalid_event", id="no source"),
    pytest.param(event(type=...), 422, "invalid_event", id="no type"),
    pytest.param(event(time="yesterday"), 422, "invalid_event", id="no time"),
    pytest.param(event(Extension="x"), 422, "invalid_event", id="capital in a name"),
    pytest.param(event(extra={"a": 1}), 422, "invalid_event", id="object as attribute"),
    pytest.param(event(data={"text": "a" * 262_144}), 422, "invalid_event", id="over 256 KiB"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "status", "error"), REFUSED_EVENTS)
def test_an_event_that_may_not_travel_is_refused_whole(
    house: House, http: httpx.Client, body: dict[str, Any], status: int, error: str
) -> None:
    with house.client("client") as shop:
        refused(shop.post(EVENTS, content=json.dumps(body), headers=STRUCTURED), status, error)
        good = event()
        refused(shop.post(EVENTS, content=json.dumps([good, body]), headers=BATCH), status, error)
    assert http.get(f"{ADMIN}/audit/logs", params={"q": good["id"]}).json()["total"] == 0


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"17", b"[17]", b"[" * 5000, b'{"a":' * 100 + b"1" + b"}" * 100, b"\xff"]
)
def test_what_is_no_event_is_422(house: House, body: bytes) -> None:
    with house.client("client") as shop:
        for kind in (STRUCTURED, BATCH):
            refused(shop.post(EVENTS, content=body, headers=kind), 422, "invalid_event")
        refused(shop.post(EVENTS, content=body, headers={"content-type": "application/json"}), 422, "invalid_event")


def test_a_batch_may_be_too_long_or_repeat_itself(house: House) -> None:
    twice = event()
    with house.client("client") as shop:
        for batch in ([event() for _ in range(501)], [twice, twice]):
            refused(shop.post(EVENTS, content=json.dumps(batch), headers=BATCH), 422, "invalid_event")
        answer = shop.post(EVENTS, content=b"[" + b" " * 1024 * 1024 + b"]", headers=BATCH)
        refused(answer, 413, "body_too_large")


def test_an_administrator_may_not_publish_as_an_administrator_but_as_a_registered_source(http: httpx.Client) -> None:
    refused(http.post(EVENTS, content=json.dumps(event(source="/x")), headers=STRUCTURED), 403, "source_not_allowed")
    assert http.post(EVENTS, content=json.dumps(event()), headers=STRUCTURED).json() == {"accepted": 1}
