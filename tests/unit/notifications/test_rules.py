"""The rule table: which event makes what, and that most make nothing."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.events import access, platform, users
from libs.common.events.all_types import CATALOG
from libs.common.events.envelope import Event
from libs.common.events.notification_fields import is_relative_path
from libs.common.events.notifications import CreateNotification, RaiseAlert
from services.notifications import rules
from services.notifications.models import AlertDraft, NotificationDraft

TIME = datetime(2026, 1, 1, tzinfo=UTC)
STORE = {"store_id": 12, "store_name": "Rose & Co", "job_id": 4711, "error_message": "line 17 is broken"}


def platform_event(
    kind: str, data: Any = None, *, severity: str | None = None, source: str = "/platform/shop"
) -> Event:
    return Event(
        id="event-1", source=source, type=kind, time=TIME, data=STORE if data is None else data, severitytext=severity
    )


def notification_of(event: Event) -> NotificationDraft:
    (found,) = [draft for draft in rules.match(event) if isinstance(draft, NotificationDraft)]
    return found


def alerts_of(event: Event) -> list[AlertDraft]:
    return [draft for draft in rules.match(event) if isinstance(draft, AlertDraft)]


@pytest.mark.parametrize(
    ("kind", "data", "severity", "made"),
    [
        ("platform.import.failed.v1", STORE, None, ("import_failure", "high", "Import failed: Rose & Co")),
        ("platform.import.failed.v1", {"store_id": 3}, None, ("import_failure", "high", "Import failed: store 3")),
        ("platform.import.failed.v1", {}, None, ("import_failure", "high", "Import failed: /platform/shop")),
        ("platform.import.failed.v1", STORE, "critical", ("import_failure", "critical", "Import failed: Rose & Co")),
        ("platform.order_sync.failed.v1", STORE, None, ("order_sync_failure", "high", "Order sync failed: Rose & Co")),
        ("platform.order.exception.v1", STORE, None, ("order_exception", "normal", "Order needs attention: Rose & Co")),
        ("platform.order.exception.v1", STORE, "error", ("order_exception", "high", "Order needs attention: Rose & Co")),
        ("platform.error.critical.v1", {"system": "orders"}, None, ("critical_error", "critical", "Critical error: orders")),
        ("platform.store.issue.v1", STORE, None, ("store_issue", "normal", "Store issue: Rose & Co")),
        ("platform.security.alert.v1", {}, None, ("security_alert", "high", "Security alert: /platform/shop")),
        (
            "platform.security.alert.v1", {"severity": "critical"}, None,
            ("security_alert", "critical", "Security alert: /platform/shop"),
        ),
        (
            "platform.import.completed.v1", {**STORE, "errors_count": 5}, None,
            ("import_errors", "normal", "Import completed with 5 errors: Rose & Co"),
        ),
        (
            "platform.import.completed.v1", {**STORE, "errors_count": 4}, "critical",
            ("critical_event", "critical", "Critical event: platform.import.completed.v1"),
        ),
        (
            "reeve.access.requested.v1", {"permission": "billing:read", "reason": "the quarter's close"}, None,
            ("access_request", "high", "Access requested: billing:read"),
        ),
        ("reeve.access.granted.v1", {"permission": "billing:read"}, "warning", ("access_request", "normal", "Access granted: billing:read")),
        ("reeve.access.rejected.v1", {"permission": "billing:read"}, None, ("access_request", "normal", "Access declined: billing:read")),
        ("reeve.access.ended.v1", {"permission": "billing:read"}, None, ("access_request", "low", "Access ended: billing:read")),
        ("reeve.approval.requested.v1", {"kind": "user_role", "target": "user/1"}, "warning", ("approval", "high", "Approval needed: user_role")),
        ("reeve.approval.granted.v1", {"kind": "user_role"}, "warning", ("approval", "normal", "Approved: user_role")),
        ("reeve.approval.rejected.v1", {"kind": "user_role"}, None, ("approval", "normal", "Declined: user_role")),
        ("reeve.approval.expired.v1", {"kind": "user_role"}, None, ("approval", "normal", "Nobody decided: user_role")),
        ("reeve.approval.failed.v1", {"kind": "user_role"}, "warning", ("approval", "normal", "Approved too late: user_role")),
        (
            "reeve.security_event.raised.v1",
            {"event_type": "mass_read", "subject": "ada", "security_severity": "high"}, "error",
            ("security_alert", "high", "Security event mass_read: ada"),
        ),
        (
            "reeve.security_event.raised.v1",
            {"event_type": "token_reuse", "subject": "s1", "security_severity": "critical"}, "critical",
            ("security_alert", "critical", "Security event token_reuse: s1"),
        ),
        (
            "reeve.sink.failed.v1", {"name": "SIEM", "state": "failing", "cursor": 7}, "error",
            ("sink_failure", "high", "Audit entries do not reach SIEM"),
        ),
        ("com.shop.payment.lost.v1", {}, "critical", ("critical_event", "critical", "Critical event: com.shop.payment.lost.v1")),
        ("com.shop.payment.lost.v1", [1, 2], "CRITICAL", ("critical_event", "critical", "Critical event: com.shop.payment.lost.v1")),
        ("reeve.setting.changed.v1", {}, "critical", ("critical_event", "critical", "Critical event: reeve.setting.changed.v1")),
    ],
)  # fmt: skip
def test_an_event_makes_the_notification_of_its_rule(
    kind: str, data: Any, severity: str | None, made: tuple[str, str, str]
) -> None:
    found = notification_of(platform_event(kind, data, severity=severity))
    assert (found.type, found.priority, found.title) == made


@pytest.mark.parametrize(
    ("kind", "data", "severity"),
    [
        ("platform.import.completed.v1", {"errors_count": 4}, None),
        ("platform.import.completed.v1", {}, None),
        ("platform.import.completed.v1", {"errors_count": "many"}, None),
        ("com.shop.order.placed.v1", STORE, None),
        ("com.shop.order.placed.v1", STORE, "error"),
        ("platform.import.failed.v2", STORE, None),
        ("reeve.request.recorded.v1", {}, "info"),
        ("reeve.security_event.raised.v1", {"security_severity": "medium"}, "warning"),
        ("reeve.security_event.raised.v1", {"security_severity": "low"}, "info"),
        ("reeve.notification.created.v1", {}, "critical"),
        ("reeve.alert.raised.v1", {"severity": "critical"}, "critical"),
    ],
)
def test_other_events_make_nothing(kind: str, data: Any, severity: str | None) -> None:
    assert rules.match(platform_event(kind, data, severity=severity)) == []


def test_a_notification_carries_where_it_comes_from() -> None:
    found = notification_of(platform_event("platform.import.failed.v1"))
    assert found.metadata == {
        **STORE, "event_id": "event-1", "event_type": "platform.import.failed.v1", "event_source": "/platform/shop",
        "occurred_at": "2026-01-01T00:00:00.000000Z",
    }  # fmt: skip
    assert found.message == "line 17 is broken"
    assert found.action_required


@pytest.mark.parametrize("kind", rules.BY_TYPE)
def test_what_is_critical_and_only_that_comes_with_an_alert(kind: str) -> None:
    data = {**STORE, "errors_count": 9, "security_severity": "high"}
    plain = platform_event(kind, data)
    assert bool(alerts_of(plain)) == (notification_of(plain).priority == "critical")
    (alert,) = alerts_of(platform_event(kind, data, severity="critical"))
    assert (alert.severity, alert.affected_stores, alert.labels) == ("critical", (12,), {"event_type": kind})


def test_the_same_trouble_has_one_fingerprint_and_another_store_has_another() -> None:
    first, second, elsewhere = (
        alerts_of(platform_event("platform.error.critical.v1", {**STORE, "error_message": error, "store_id": store}))[0]
        for error, store in (("timeout after 3 s", 12), ("timeout after 9 s", 12), ("timeout after 3 s", 13))
    )
    assert first.identity == second.identity != elsewhere.identity


def test_every_generic_platform_event_that_failed_has_a_rule() -> None:
    generic = {model.TYPE for model in CATALOG if issubclass(model, platform.PlatformData)}
    assert {kind for kind in rules.BY_TYPE if kind.startswith("platform.")} == generic


def test_a_sign_in_from_a_new_device_says_whose_and_from_where() -> None:
    event = platform_event(users.DeviceFirstSeen.TYPE, dict(users.DeviceFirstSeen.EXAMPLE), source="/reeve/gateway")
    found = notification_of(event)
    assert (found.type, found.priority, found.title) == ("new_device", "high", "Sign-in from a new device")
    assert found.message.startswith("Firefox on Linux in the network 198.51.100.0/24.")
    assert {name: found.metadata[name] for name in ("user_id", "session_id", "address_prefix", "device")} == {
        **users.DeviceFirstSeen.EXAMPLE
    }
    assert alerts_of(event) == []


def test_hostile_texts_become_plain() -> None:
    hostile = {
        "store_name": "<script>alert(1)</script>\r\nBcc: all@example.com\u202e",
        "error_message": "a\x00b\r\n<img src=x onerror=alert(1)>" + "x" * 5000,
        "job_id": {"nested": "object"},
        "action_url": "javascript:alert(1)",
    }
    found = notification_of(platform_event("platform.import.failed.v1", hostile))
    assert found.title == "Import failed: \u2039script>alert(1)\u2039/script> Bcc: all@example.com"
    assert found.message.startswith("a b\n\u2039img src=x")
    assert len(found.message) == 2000
    assert found.action_url is None
    assert "job_id" not in found.metadata


@pytest.mark.parametrize("number", [2**63, 2**64 - 1, -(2**63) - 1, 2**70])
def test_a_number_that_no_column_holds_is_left_out(number: int) -> None:
    event = platform_event("platform.error.critical.v1", {"store_id": number})
    assert "store_id" not in notification_of(event).metadata
    assert alerts_of(event)[0].affected_stores == ()


def test_a_relative_link_of_the_event_is_kept() -> None:
    found = notification_of(
        platform_event("platform.import.failed.v1", {**STORE, "action_url": "/imports/4711?tab=log"})
    )
    assert found.action_url == "/imports/4711?tab=log"


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=300),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
members = st.sampled_from(
    ["store_id", "store_name", "job_id", "error_message", "message", "system", "severity", "errors_count", "action_url"]
)


@given(
    kind=st.sampled_from([*rules.BY_TYPE, "com.shop.thing.v1"]),
    data=st.dictionaries(members, anything) | anything,
    severity=st.sampled_from([None, "info", "critical"]),
)
def test_whatever_an_event_says_the_drafts_keep_every_bound(kind: str, data: Any, severity: str | None) -> None:
    for draft in rules.match(platform_event(kind, data if data is not None else {}, severity=severity)):
        if isinstance(draft, NotificationDraft):
            CreateNotification(
                type=draft.type, title=draft.title, message=draft.message, priority=draft.priority,
                notification_metadata=dict(draft.metadata),
            )  # fmt: skip
            assert draft.action_url is None or is_relative_path(draft.action_url)
        else:
            RaiseAlert(
                alert_type=draft.alert_type, title=draft.title, description=draft.description,
                affected_stores=list(draft.affected_stores), affected_systems=list(draft.affected_systems),
                labels=dict(draft.labels), fingerprint=draft.identity,
            )  # fmt: skip


def test_the_asker_of_a_permission_can_be_told_what_became_of_it() -> None:
    for model in (access.AccessRequested, access.AccessGranted, access.AccessRejected, access.AccessEnded):
        found = notification_of(platform_event(model.TYPE, dict(model.EXAMPLE), source="/reeve/gateway"))
        assert found.metadata["user_id"] == model.EXAMPLE["user_id"]
        assert found.metadata["request_id"] == model.EXAMPLE["request_id"]
        assert found.title.endswith(": billing:read")
        assert "{" not in found.message
        assert found.message.strip("?.") != ""
