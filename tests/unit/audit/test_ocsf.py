"""Every entry is a valid OCSF event: its class, its numbers and what its class demands."""

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.audit.models.entries import OUTCOMES, SEVERITIES
from services.audit.models.ocsf import VERSIONS, event_of

ENTRY: dict[str, Any] = {
    "id": "0199a0c0-0000-7000-8000-000000000001", "sequence": 7, "event_id": "e1", "event_type": "reeve.request.recorded.v1",
    "action": "list_settings", "target_type": None, "target_id": None, "admin_user_id": "a1",
    "admin_username": "ada@example.com", "actor_type": "admin", "outcome": "success", "severity": "info",
    "details": '{"path":"/x"}', "changes": None, "ip_address": "203.0.113.7", "user_agent": "curl", "request_id": "r1",
    "operation_id": None, "trace_id": None, "source": "/reeve/gateway",
    "created_at": datetime(2026, 1, 31, 12, 0, 0, 500_000, tzinfo=UTC),
    "recorded_at": datetime(2026, 1, 31, 12, 0, 1, tzinfo=UTC), "redactions": None,
}  # fmt: skip
CHANGED = {"changes": '{"value":{"old":1,"new":2}}', "target_type": "setting", "target_id": "theme"}

BASE = {
    "activity_id", "category_uid", "class_uid", "type_uid", "severity_id", "time", "metadata", "message", "status_id",
    "actor",
}  # fmt: skip
DEMANDED = {3002: {"user"}, 3004: {"entity"}, 6001: {"web_resources"}, 6003: {"api", "src_endpoint"}}
ACTIVITIES = {
    3002: {1, 2}, 3004: {1, 2, 3, 4, 8, 9, 10, 11, 12, 13, 99}, 6001: {7}, 6003: {1, 2, 3, 4, 99},
}  # fmt: skip


def check(event: dict[str, Any]) -> None:
    """The facts of the schema (docs of OCSF 1.8.0): raises for an event that breaks one."""
    kind = event["class_uid"]
    assert event.keys() >= BASE | DEMANDED[kind]
    assert event["category_uid"] == kind // 1000
    assert event["type_uid"] == kind * 100 + event["activity_id"]
    assert event["activity_id"] in ACTIVITIES[kind]
    assert event["severity_id"] in {0, 1, 2, 3, 4, 5, 6, 99}
    assert event["status_id"] in {0, 1, 2, 99}
    assert isinstance(event["time"], int)
    assert event["metadata"].keys() >= {"version", "product", "uid", "sequence", "logged_time"}
    assert event["metadata"]["product"].keys() >= {"name", "vendor_name"}
    assert event["actor"].keys() & {"user", "session", "invoked_by"}
    assert {"ip", "uid", "name", "hostname", "svc_name"} & event["src_endpoint"].keys()
    if kind == 6003:
        assert event["api"]["operation"]
    if kind == 3004:
        assert {"name", "uid", "type"} & event["entity"].keys()


@pytest.mark.parametrize(
    ("given_entry", "kind", "activity"),
    [
        ({}, 6003, 2),
        ({"action": "view_setting"}, 6003, 2),
        ({"action": "com.shop.order.placed.v1", "actor_type": "client", "source": "/platform/shop"}, 6003, 99),
        ({"action": "delete_user", "outcome": "denied"}, 6003, 4),
        ({"action": "update_setting", **CHANGED}, 3004, 3),
        ({"action": "create_setting", **CHANGED}, 3004, 1),
        ({"action": "delete_setting", **CHANGED}, 3004, 4),
        ({"action": "deactivate_user", **CHANGED}, 3004, 11),
        ({"action": "frobnicate", **CHANGED}, 3004, 99),
        ({"action": "sign_in"}, 3002, 1),
        ({"action": "sign_out"}, 3002, 2),
        ({"action": "download_export"}, 6001, 7),
        ({"action": "start_export"}, 6001, 7),
    ],
)
def test_an_action_is_of_this_class_and_activity(given_entry: dict[str, Any], kind: int, activity: int) -> None:
    event = event_of({**ENTRY, **given_entry}, version="1.8.0")
    check(event)
    assert (event["class_uid"], event["activity_id"]) == (kind, activity)


def test_the_numbers_of_an_event() -> None:
    event = event_of(ENTRY, version="1.8.0")
    assert event["time"] == 1_769_860_800_500
    assert event["metadata"] == {
        "version": "1.8.0", "product": {"name": "Reeve", "vendor_name": "Reeve", "feature": {"name": "audit"}},
        "uid": ENTRY["id"], "sequence": 7, "event_code": "reeve.request.recorded.v1", "original_event_uid": "e1",
        "correlation_uid": "r1", "logged_time": 1_769_860_801_000, "log_provider": "/reeve/gateway",
    }  # fmt: skip
    assert event["actor"] == {"user": {"uid": "a1", "name": "ada@example.com", "type": "Admin", "type_id": 2}}
    assert event["src_endpoint"] == {"ip": "203.0.113.7"}


def test_a_reason_is_the_comment_of_a_change() -> None:
    event = event_of({**ENTRY, **CHANGED, "details": '{"reason":"too many"}'}, version="1.8.0")
    assert event["comment"] == "too many"


@given(
    action=st.text(min_size=1, max_size=20),
    optional=st.dictionaries(
        st.sampled_from(["target_type", "target_id", "admin_user_id", "admin_username", "ip_address", "trace_id"]),
        st.none() | st.text(min_size=1, max_size=9),
    ),
    outcome=st.sampled_from(OUTCOMES),
    severity=st.sampled_from(SEVERITIES),
    actor_type=st.sampled_from(["admin", "client", "system", "anonymous"]),
    changes=st.sampled_from([None, "{}"]),
    version=st.sampled_from(VERSIONS),
)
def test_every_entry_makes_a_valid_event(
    action: str, optional: dict[str, str | None], version: str, **members: Any
) -> None:
    event = event_of({**ENTRY, "action": action, **optional, **members}, version=version)
    check(event)
    orjson.dumps(event)
