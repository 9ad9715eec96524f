"""What each event says in an entry, as a table; and that every message of the catalogue says something."""

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from libs.common.events.all_types import CATALOG
from libs.common.events.catalog import MessageData
from libs.common.events.envelope import Event
from libs.common.events.requests import OperationRejected
from services.audit.models.entries import OUTCOMES, Entry, describe

ADMIN = "0199a0c0-0000-7000-8000-00000000000a"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TIME = datetime(2026, 1, 10, 12, tzinfo=UTC)
ORIGIN = {
    "username": "ada@example.com", "ip_address": "203.0.113.7", "user_agent": "Firefox", "request_id": "request-1",
    "session_id": "session-1",
}  # fmt: skip


def ours(kind: str = "reeve.request.recorded.v1", /, **given: Any) -> Event:
    """An event of the gateway's in the name of an administrator."""
    made: dict[str, Any] = {
        "id": "event-1", "source": "/reeve/gateway", "time": TIME, "actorid": ADMIN, "actortype": "admin",
        "correlationid": "request-1", "traceparent": f"00-{TRACE}-00f067aa0ba902b7-01", "producerseq": 7,
        "data": {"origin": ORIGIN, "action": "view_setting", "outcome": "success", "method": "GET", "path": "/x", "status": 200},
    }  # fmt: skip
    return Event(**{"type": kind, **made, **given})


def theirs(kind: str = "com.shop.order.placed.v1", /, **given: Any) -> Event:
    """An event of a shop's."""
    made: dict[str, Any] = {"id": "event-1", "source": "/platform/shop", "time": TIME, "data": {"total": 1}}
    return Event(**{"type": kind, **made, **given})


def entry(event: Event, *, producer: str = "gateway") -> Entry:
    return describe(event, producer=producer, catalog=CATALOG)


TABLE: list[tuple[str, Event, dict[str, Any]]] = [
    (
        "an administrator's request",
        ours(subject="setting/theme"),
        {
            "event_id": "event-1", "event_type": "reeve.request.recorded.v1", "action": "view_setting",
            "target_type": "setting", "target_id": "theme", "admin_user_id": ADMIN, "admin_username": "ada@example.com",
            "actor_type": "admin", "actor_id": None, "outcome": "success", "severity": "info",
            "details": '{"method":"GET","path":"/x","status":200}', "changes": None, "ip_address": "203.0.113.7",
            "user_agent": "Firefox", "request_id": "request-1", "operation_id": None, "trace_id": TRACE,
            "correlation_id": "request-1", "source": "/reeve/gateway", "producer": "gateway", "producer_seq": 7,
            "created_at": TIME,
        },
    ),
    (
        "a denied request",
        ours(data={"action": "delete_user", "outcome": "denied", "status": 403, "permission": "users:delete"}),
        {
            "action": "delete_user", "outcome": "denied", "details": '{"permission":"users:delete","status":403}',
            "ip_address": None, "admin_username": None, "request_id": None, "admin_user_id": ADMIN,
        },
    ),
    (
        "an anonymous request",
        ours(actorid=None, actortype="anonymous"),
        {"admin_user_id": None, "admin_username": None, "actor_type": "anonymous", "ip_address": "203.0.113.7"},
    ),
    (
        "a client's request",
        ours(actorid="shop", actortype="client", data={"action": "publish_events", "outcome": "success", "status": 202}),
        {"admin_user_id": None, "actor_type": "client", "actor_id": "shop", "details": '{"status":202,"actor_id":"shop"}'},
    ),
    (
        "a changed setting",
        ours(
            "reeve.setting.changed.v1", source="/reeve/settings", subject="setting/theme", causationid="command-1",
            data={
                "origin": ORIGIN, "key": "theme", "version": 2, "changes": {"value": {"old": "a", "new": "b"}},
                "status": 200, "result": {"key": "theme", "value": "b"},
            },
        ),
        {
            "action": "update_setting", "operation_id": "command-1", "changes": '{"value":{"old":"a","new":"b"}}',
            "details": '{"key":"theme","version":2}', "outcome": "success", "source": "/reeve/settings",
        },
    ),
    (
        "an outcome that no command asked for",
        ours("reeve.alert.raised.v1", source="/reeve/notifications", actorid=None, actortype="system", causationid="event-0", data={}),
        {"operation_id": None, "actor_type": "system", "action": "raise_alert"},
    ),
    (
        "a refused command",
        ours(
            OperationRejected.TYPE, causationid="command-1",
            data={"operation_id": "command-1", "action": "create_setting", "status": 409, "error": {"error": "setting_exists"}},
        ),
        {
            "action": "create_setting", "outcome": "failure", "operation_id": "command-1",
            "details": '{"error":{"error":"setting_exists"}}',
        },
    ),
    (
        "an accepted operation",
        ours("reeve.operation.accepted.v1", causationid="c", data={"operation_id": "command-1", "operation": "update_setting"}),
        {"action": "accept_operation", "operation_id": "command-1", "details": '{"operation":"update_setting"}'},
    ),
    (
        "a failed sign-in",
        ours(
            "reeve.sign_in.failed.v1", actorid=None, actortype="anonymous",
            data={"tried_email": "a***@example.com", "reason": "wrong_password", "outcome": "failure"},
        ),
        {"action": "sign_in", "outcome": "failure", "details": '{"tried_email":"a***@example.com","reason":"wrong_password"}'},
    ),
    (
        "our own event with a severity",
        ours(severitytext="CRITICAL"),
        {"severity": "critical"},
    ),
    (
        "our own event with odd attributes",
        ours(severitytext="loud", actortype="robot", data={"outcome": "maybe", "origin": "x", "operation_id": 7}),
        {"severity": "info", "actor_type": "system", "outcome": "success", "admin_user_id": None, "operation_id": None},
    ),
    (
        "sealed values",
        ours(data={"sealed_value": "c2VhbGVk", "sealed_default_value": "c2VhbGVk", "key": "k"}),
        {"details": '{"key":"k","status":null}'},
    ),
    (
        "a platform's event",
        theirs(subject="order/4711", severitytext="Warning"),
        {
            "action": "com.shop.order.placed.v1", "target_type": "order", "target_id": "4711", "actor_type": "client",
            "outcome": "success", "severity": "warning", "details": '{"total":1}', "producer_seq": None,
        },
    ),
    (
        "a generic platform event that failed",
        theirs("platform.import.failed.v1"),
        {"action": "platform.import.failed.v1", "outcome": "failure", "target_type": None, "target_id": None},
    ),
    ("a type that ends in failed", theirs("com.shop.payment.failed"), {"outcome": "failure"}),
    ("a type that only sounds like it", theirs("com.shop.unfailed.v1"), {"outcome": "success"}),
    (
        "a platform that claims to be somebody",
        theirs(
            actorid=ADMIN, actortype="admin", causationid="command-1",
            data={"origin": ORIGIN, "action": "sign_in", "outcome": "denied", "operation_id": "1", "changes": {}},
        ),
        {
            "admin_user_id": None, "admin_username": None, "actor_type": "client", "actor_id": ADMIN, "ip_address": None,
            "request_id": None, "operation_id": None, "action": "com.shop.order.placed.v1", "outcome": "success",
            "changes": None,
        },
    ),
    ("data that is no object", theirs(data=[1, 2]), {"details": '{"data":[1,2]}'}),
    ("no data", theirs(data=None), {"details": '{"data":null}'}),
    ("a subject without an id", theirs(subject="order"), {"target_type": "order", "target_id": None}),
    ("a subject with slashes", theirs(subject="file/a/b/c"), {"target_type": "file", "target_id": "a/b/c"}),
    ("a subject that begins with a slash", theirs(subject="/x"), {"target_type": None, "target_id": "x"}),
    ("an IPv6 address", ours(data={"origin": {"ip_address": "2001:DB8::1%eth0"}}), {"ip_address": "2001:db8::1"}),
    ("an IPv4 address in IPv6", ours(data={"origin": {"ip_address": "::ffff:192.0.2.1"}}), {"ip_address": "192.0.2.1"}),
    ("no address", ours(data={"origin": {"ip_address": "unix:"}}), {"ip_address": None}),
    ("a broken traceparent", ours(traceparent="00-" + "x" * 52), {"trace_id": None}),
    ("a later traceparent", ours(traceparent=f"cc-{TRACE}-00f067aa0ba902b7-01-more"), {"trace_id": TRACE}),
]  # fmt: skip


@pytest.mark.parametrize(("event", "expected"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_an_event_says(event: Event, expected: dict[str, Any]) -> None:
    made = entry(event)._asdict()
    assert {name: made[name] for name in expected} == expected


@pytest.mark.parametrize("model", CATALOG, ids=lambda model: model.TYPE)
def test_every_message_of_the_catalogue_makes_a_whole_entry(model: type[MessageData]) -> None:
    source = "/platform/shop" if model.SOURCE == "*" and model.TYPE.startswith("platform.") else "/reeve/gateway"
    data = {**model.EXAMPLE, "origin": ORIGIN} if source.startswith("/reeve/") else dict(model.EXAMPLE)
    made = entry(ours(model.TYPE, source=source, subject="thing/1", data=data))
    assert made.action == (data.get("action") or model.ACTION)
    assert made.outcome in OUTCOMES
    assert orjson.loads(made.details).keys() <= {*data, "status"}
    assert made.target_id == "1"
    assert {"thing", "1", made.event_type} <= set(made.words)


def test_the_same_event_always_makes_the_same_entry() -> None:
    for _, event, _ in TABLE:
        assert entry(event) == entry(event._replace())


def test_texts_are_cut_to_their_bounds() -> None:
    long = "é" * 10_000
    made = entry(
        ours(
            id=long, subject=f"{long}/{long}", actorid=long, correlationid=long, causationid=long,
            data={"action": long, "origin": dict.fromkeys(ORIGIN, long), "operation_id": long},
        )
    )  # fmt: skip
    lengths = {name: len(value) for name, value in made._asdict().items() if isinstance(value, str)}
    assert lengths == {
        "event_id": 255, "event_type": 25, "action": 255, "target_type": 100, "target_id": 255, "admin_user_id": 128,
        "admin_username": 254, "actor_type": 5, "outcome": 7, "severity": 4, "details": 15, "user_agent": 500,
        "request_id": 128, "operation_id": 128, "trace_id": 32, "correlation_id": 255, "source": 14, "producer": 7,
    }  # fmt: skip


def test_what_postgres_refuses_is_replaced() -> None:
    bad = "a\x00b\ud800c"
    made = entry(
        ours(
            id=bad, subject=f"{bad}/{bad}", actorid=bad, correlationid=bad,
            data={"action": bad, "origin": dict.fromkeys(ORIGIN, bad), bad: bad, "changes": {bad: {"old": bad, "new": None}}},
        )
    )  # fmt: skip
    good = "a\ufffdb\ufffdc"
    assert (made.event_id, made.target_type, made.target_id, made.action) == (good, good, good, good)
    assert orjson.loads(made.details) == {good: good, "status": None}
    assert orjson.loads(made.changes or "") == {good: {"old": good, "new": None}}
    for value in made:
        if isinstance(value, str):
            value.encode()
            assert "\x00" not in value
    assert not [word for word in made.words if "\x00" in word or not word.isprintable()]


def test_details_say_when_changes_were_cut() -> None:
    changes = {f"field{number}": {"old": "x" * 2000, "new": number} for number in range(100)}
    made = entry(ours("reeve.setting.changed.v1", data={"key": "k", "changes": changes}))
    assert orjson.loads(made.details) == {"key": "k", "_truncated": True}
    kept = orjson.loads(made.changes or "")
    assert 10 < len(kept) < 100
    assert all(change.keys() == {"old", "new"} for change in kept.values())
