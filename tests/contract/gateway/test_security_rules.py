"""The rules of detection and what they raised, as the API hands them out: lists, versions, bounds, refusals."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from libs.common.ids import new_id
from tests.support.eventually import eventually
from tests.support.house import ADMIN, House

RULES = f"{ADMIN}/security/rules"
EVENTS = f"{ADMIN}/security/events"
RULE = {
    "kind": "denied_request", "group_by": "user", "threshold": 2, "window_seconds": 60, "cooldown_seconds": 60,
    "severity": "low", "description": "Two refusals.",
}  # fmt: skip


@pytest.fixture
def first(house: House) -> Iterator[httpx.Client]:
    """The first super admin."""
    with house.client() as http:
        yield http


@pytest.fixture
def name(first: httpx.Client) -> Iterator[str]:
    """A rule of the test's own, made and deleted."""
    made = f"t{new_id().replace('-', '')}"
    first.put(f"{RULES}/{made}", json=RULE).raise_for_status()
    yield made
    first.delete(f"{RULES}/{made}")


def error_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["detail"]["error"]


async def provoked(house: House, first: httpx.Client, rule: str, *, times: int = 2) -> dict[str, Any]:
    """The event of a rule after so many refusals of a new viewer."""
    body = {"email": f"{new_id()}@example.com", "name": "V", "role": "viewer", "password": "Quite-long-2-type"}
    made = first.post(f"{ADMIN}/users", json=body).raise_for_status().json()
    with house.client(None) as http:
        login = {"email": body["email"], "password": body["password"]}
        token = http.post(f"{ADMIN}/auth/login", json=login).raise_for_status().json()["access_token"]
        for _ in range(times):
            refused = http.delete(f"{ADMIN}/settings/x?confirm=true", headers={"authorization": f"Bearer {token}"})
            assert refused.status_code == 403

    def found() -> list[dict[str, Any]]:
        events: list[dict[str, Any]] = first.get(EVENTS, params={"rule": rule, "user_id": made["id"]}).json()["events"]
        return [one for one in events if one["count"] == times - 1]

    await eventually(found)
    (event,) = found()
    return event


def test_the_builtin_rules_are_there_and_may_be_changed_but_not_deleted(first: httpx.Client) -> None:
    listed = first.get(RULES, params={"limit": 200}).json()
    assert {"token_reuse", "privilege_changes", "mass_reads_of_user"} <= {one["name"] for one in listed["rules"]}
    rule = first.get(f"{RULES}/token_reuse")
    assert (rule.json()["severity"], rule.json()["is_builtin"]) == ("critical", True)
    assert error_of(first.delete(f"{RULES}/token_reuse")) == (409, "builtin_rule")


def test_a_rule_has_a_version_that_a_write_may_name(first: httpx.Client, name: str) -> None:
    read = first.get(f"{RULES}/{name}")
    assert (read.headers["etag"], read.json()["version"], read.json()["event_type"]) == ('"1"', 1, "denied_request")
    assert first.get(f"{RULES}/{name}", headers={"if-none-match": '"1"'}).status_code == 304
    same = first.put(f"{RULES}/{name}", json=RULE)
    assert (same.status_code, same.headers["etag"]) == (200, '"1"')
    changed = first.put(f"{RULES}/{name}", json={**RULE, "threshold": 3}, headers={"if-match": '"1"'})
    assert (changed.status_code, changed.headers["etag"], changed.json()["threshold"]) == (200, '"2"', 3)
    late = first.put(f"{RULES}/{name}", json=RULE, headers={"if-match": '"1"'})
    assert error_of(late) == (412, "version_conflict")
    assert error_of(first.put(f"{RULES}/{name}", json=RULE, headers={"if-none-match": "*"}))[0] == 412
    assert error_of(first.delete(f"{RULES}/{name}", headers={"if-match": '"1"'}))[0] == 412
    assert first.delete(f"{RULES}/{name}", headers={"if-match": '"2"'}).status_code == 204
    assert error_of(first.get(f"{RULES}/{name}")) == (404, "rule_not_found")


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"threshold": 0}, "validation_error"), ({"threshold": 10_001}, "validation_error"),
        ({"threshold": True}, "validation_error"), ({"threshold": 1.5}, "validation_error"),
        ({"window_seconds": 0}, "validation_error"), ({"window_seconds": 86_401}, "validation_error"),
        ({"cooldown_seconds": 86_401}, "validation_error"), ({"cooldown_seconds": 59}, "invalid_cooldown"),
        ({"severity": "urgent"}, "validation_error"), ({"kind": "weather"}, "validation_error"),
        ({"group_by": "moon"}, "validation_error"), ({"colour": "red"}, "validation_error"),
        ({"description": "a\u0007b"}, "validation_error"),
    ],
    ids=range(13),
)  # fmt: skip
def test_what_is_no_rule_is_refused_for_keeping_and_for_trying(
    first: httpx.Client, changed: dict[str, Any], error: str
) -> None:
    body = {**RULE, **changed}
    assert error_of(first.put(f"{RULES}/never_kept", json=body)) == (422, error)
    assert error_of(first.post(f"{RULES}/dry-run", json={"rule": body, "hours": 1})) == (422, error)
    assert first.get(f"{RULES}/never_kept").status_code == 404


@pytest.mark.parametrize("hours", [0, 73, "1", True])
def test_a_dry_run_goes_back_three_days_at_most(first: httpx.Client, hours: object) -> None:
    assert error_of(first.post(f"{RULES}/dry-run", json={"rule": RULE, "hours": hours})) == (422, "validation_error")


async def test_a_dry_run_of_another_threshold_says_what_that_would_have_raised(
    house: House, first: httpx.Client, name: str
) -> None:
    event = await provoked(house, first, name, times=4)
    for threshold, count in ((2, 3), (4, 1), (5, None)):
        body = {"rule": {**RULE, "threshold": threshold}, "hours": 1}
        found = first.post(f"{RULES}/dry-run", json=body).json()
        counts = [one["count"] for one in found["events"] if one["subject"] == event["subject"]]
        assert counts == ([count] if count else [])
    assert found["facts"] >= 4


async def test_a_rule_that_was_switched_off_raises_nothing(house: House, first: httpx.Client, name: str) -> None:
    other = f"{name}o"
    first.put(f"{RULES}/{other}", json=RULE).raise_for_status()
    first.put(f"{RULES}/{name}", json={**RULE, "enabled": False}).raise_for_status()
    await provoked(house, first, other)
    assert first.get(EVENTS, params={"rule": name}).json()["total"] == 0
    first.delete(f"{RULES}/{other}")


async def test_an_event_is_resolved_once_and_with_words(house: House, first: httpx.Client, name: str) -> None:
    event = await provoked(house, first, name)
    path = f"{EVENTS}/{event['id']}/resolve"
    for notes in ({}, {"notes": ""}, {"notes": "  "}, {"notes": "x" * 2001}, {"notes": "a\0b"}):
        assert first.put(path, json=notes).status_code in (400, 422)
    answer = first.put(path, json={"notes": "A new colleague."})
    me = first.get(f"{ADMIN}/auth/me").json()["id"]
    resolved = answer.raise_for_status().json()
    assert (resolved["resolved"], resolved["notes"], resolved["resolved_by"]) == (True, "A new colleague.", me)
    assert resolved["resolved_at"] is not None
    assert error_of(first.put(path, json={"notes": "Again."})) == (409, "security_event_resolved")
    assert first.get(f"{EVENTS}/{event['id']}").json() == resolved
    nowhere = f"{EVENTS}/{new_id()}"
    assert error_of(first.get(nowhere)) == error_of(first.put(f"{nowhere}/resolve", json={"notes": "x"}))

    def entry() -> list[dict[str, Any]]:
        query = {"action": "resolve_security_event", "target_id": event["id"], "outcome": "success"}
        found: list[dict[str, Any]] = first.get(f"{ADMIN}/audit/logs", params=query).json()["logs"]
        return found

    await eventually(entry)
    assert entry()[0]["admin_user_id"] == me


async def test_the_list_is_narrowed_down_and_paged(house: House, first: httpx.Client, name: str) -> None:
    events = [await provoked(house, first, name) for _ in range(3)]
    first.put(f"{EVENTS}/{events[0]['id']}/resolve", json={"notes": "Known."}).raise_for_status()

    def ids(**query: Any) -> list[str]:
        found = first.get(EVENTS, params={"rule": name, **query})
        return [one["id"] for one in found.raise_for_status().json()["events"]]

    newest = [one["id"] for one in reversed(events)]
    assert ids() == newest
    assert ids(resolved="true") == newest[2:]
    assert ids(resolved="false") == newest[:2]
    assert ids(severity=["low", "high"]) == newest
    assert ids(severity="critical") == []
    assert ids(event_type="denied_request") == newest
    assert ids(event_type="mass_read") == []
    assert ids(user_id=events[1]["user_id"]) == [newest[1]]
    assert ids(ip_address="127.0.0.1") == newest
    assert ids(ip_address="127.0.0.2") == []
    assert ids(date_from=events[1]["created_at"]) == newest[:2]
    assert ids(date_to=events[1]["created_at"]) == newest[1:]
    page = first.get(EVENTS, params={"rule": name, "limit": 2}).json()
    assert ([one["id"] for one in page["events"]], page["total"]) == (newest[:2], 3)
    assert ids(limit=2, cursor=page["next_cursor"]) == newest[2:]
    other = first.get(EVENTS, params={"limit": 2, "cursor": page["next_cursor"]})
    assert error_of(other) == (422, "invalid_cursor")
    for wrong in ({"ip_address": "nowhere"}, {"date_to": "0.5"}, {"date_from": "2026-01-01"}, {"severity": "urgent"}):
        assert error_of(first.get(EVENTS, params=wrong)) == (422, "validation_error"), wrong


async def test_the_overview_counts_what_is_open_and_what_came(house: House, first: httpx.Client, name: str) -> None:
    before = first.get(f"{ADMIN}/security/overview").json()
    event = await provoked(house, first, name)
    after = first.get(f"{ADMIN}/security/overview", params={"hours": 1}).json()
    assert after["open_by_severity"]["low"] == before["open_by_severity"]["low"] + 1
    assert after["latest"][0] == event
    assert event["user_id"] in {one["user_id"] for one in after["top_users"]} or len(after["top_users"]) == 10
    assert (
        sum(one["count"] for one in after["raised_by_hour"]) == after["raised"] == sum(after["raised_by_type"].values())
    )
    first.put(f"{EVENTS}/{event['id']}/resolve", json={"notes": "Seen."}).raise_for_status()
    resolved = first.get(f"{ADMIN}/security/overview").json()
    assert resolved["open_by_severity"]["low"] == before["open_by_severity"]["low"]
    assert error_of(first.get(f"{ADMIN}/security/overview", params={"hours": 169})) == (422, "validation_error")


@pytest.mark.parametrize(
    ("role", "reads", "writes"), [("viewer", 200, 403), ("admin", 200, 403), ("moderator", 403, 403)]
)
def test_who_may_read_and_who_may_write(house: House, role: str, reads: int, writes: int) -> None:
    with house.client(role) as http:
        for path in ("events", "rules", "rules/token_reuse", "overview"):
            assert http.get(f"{ADMIN}/security/{path}").status_code == reads, path
        assert http.post(f"{RULES}/dry-run", json={"rule": RULE, "hours": 1}).status_code == reads
        assert http.put(f"{RULES}/token_reuse", json=RULE).status_code == writes
        assert http.delete(f"{RULES}/token_reuse").status_code == writes
        assert http.put(f"{EVENTS}/{new_id()}/resolve", json={"notes": "x"}).status_code == writes
