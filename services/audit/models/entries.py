"""An audit entry, and what each event says in one. Pure: the same event always makes the same entry."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import Any, NamedTuple

from libs.common.events.catalog import Catalog, OutcomeData, action_of
from libs.common.events.envelope import Event
from libs.common.events.requests import OperationRejected, RequestRecorded
from services.audit.models.texts import TRUNCATED, changes_text, cut, json_text
from services.audit.models.words import words_of

MOST_ACTION = 255
MOST_TARGET_TYPE = 100
MOST_TARGET_ID = 255

OUR_SOURCE = "/reeve/"
UNDOES = "undoes"
"""The member of `details` that names the entry whose deed this one takes back."""
OUTCOMES = ("success", "denied", "failure")
SEVERITIES = ("info", "warning", "error", "critical")
_ACTOR_TYPES = frozenset({"admin", "client", "system", "anonymous"})
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?")

_TOLD_ELSEWHERE = frozenset({
    "origin", "changes", "action", "outcome", "result", "status", "target_type", "target_id", "operation_id",
    "sealed_value", "sealed_default_value", "sealed_secret",
})  # fmt: skip
"""Members of our own events that an entry has columns for, or that are no part of what happened."""
# The first and the last moment that Python knows stand for the infinities in the database's driver.
_FIRST = datetime.min.replace(tzinfo=UTC) + timedelta(microseconds=1)
_LAST = datetime.max.replace(tzinfo=UTC) - timedelta(microseconds=1)
NOT_SOUGHT = frozenset({"method", "path", "permission", "status"})


class Entry(NamedTuple):
    """One line of the audit log, before it has its place. `details` and `changes` are JSON texts."""

    event_id: str
    event_type: str
    action: str
    target_type: str | None
    target_id: str | None
    admin_user_id: str | None
    admin_username: str | None
    actor_type: str
    actor_id: str | None
    """Whoever acted and is no administrator, as its sender names it."""
    outcome: str
    severity: str
    details: str
    changes: str | None
    ip_address: str | None
    user_agent: str | None
    request_id: str | None
    operation_id: str | None
    trace_id: str | None
    correlation_id: str | None
    source: str
    producer: str
    producer_seq: int | None
    created_at: datetime
    words: list[str]


def describe(event: Event, *, producer: str, catalog: Catalog) -> Entry:
    """The entry of one event. Texts are cut to their bounds and made storable; nothing is refused.

    Only what Reeve's own services say of an administrator, a request or an operation is believed; whatever a
    platform says is kept as it is, in `details`.
    """
    data: Mapping[str, Any] = event.data if isinstance(event.data, dict) else {"data": event.data}
    if event.source.startswith(OUR_SOURCE):
        return _our_own(event, data, producer, catalog)
    return _foreign(event, data, producer)


def _our_own(event: Event, data: Mapping[str, Any], producer: str, catalog: Catalog) -> Entry:
    origin = data.get("origin")
    if not isinstance(origin, dict):
        origin = {}
    action = cut(action_of(event, catalog), MOST_ACTION) or event.type
    target_type, target_id = _target(event.subject)
    actor_type = event.actortype if event.actortype in _ACTOR_TYPES else "system"
    is_admin = actor_type == "admin"
    username = cut(origin.get("username"), 254) if is_admin else None
    told = {name: value for name, value in data.items() if name not in _TOLD_ELSEWHERE}
    if isinstance(undoes := origin.get("undoes"), str):
        told[UNDOES] = undoes[:36]
    sought = [value for name, value in told.items() if name not in NOT_SOUGHT]
    if event.type == RequestRecorded.TYPE:
        told["status"] = data.get("status")
    if event.actorid is not None and not is_admin:
        told.setdefault("actor_id", event.actorid)
    changes, are_whole = None, True
    if isinstance(changed := data.get("changes"), dict):
        sought += changed, *changed
        changes, are_whole = changes_text(changed)
        if not are_whole:
            told[TRUNCATED] = True
    outcome = data.get("outcome")
    if event.type == OperationRejected.TYPE:
        outcome = "failure"
    return Entry(
        event_id=cut(event.id, 255) or "",
        event_type=event.type,
        action=action,
        target_type=target_type,
        target_id=target_id,
        admin_user_id=cut(event.actorid, 128) if is_admin else None,
        admin_username=username,
        actor_type=actor_type,
        actor_id=None if is_admin else cut(event.actorid, 255),
        outcome=outcome if outcome in OUTCOMES else "success",
        severity=event.severity if event.severity in SEVERITIES else "info",
        details=json_text(told)[0],
        changes=changes,
        ip_address=_address(origin.get("ip_address")),
        user_agent=cut(origin.get("user_agent"), 500),
        request_id=cut(origin.get("request_id"), 128),
        operation_id=_operation(event, data, actor_type, catalog),
        trace_id=_trace(event.traceparent),
        correlation_id=cut(event.correlationid, 255),
        source=event.source,
        producer=producer,
        producer_seq=event.producerseq,
        created_at=_storable(event.time),
        words=words_of((action, event.type, target_type, target_id, username), *sought),
    )


def _foreign(event: Event, data: Mapping[str, Any], producer: str) -> Entry:
    target_type, target_id = _target(event.subject)
    has_failed = ".failed." in event.type or event.type.endswith(".failed")
    return Entry(
        event_id=cut(event.id, 255) or "",
        event_type=event.type,
        action=event.type,
        target_type=target_type,
        target_id=target_id,
        admin_user_id=None,
        admin_username=None,
        actor_type="client",
        actor_id=cut(event.actorid, 255),
        outcome="failure" if has_failed else "success",
        severity=event.severity if event.severity in SEVERITIES else "info",
        details=json_text(data)[0],
        changes=None,
        ip_address=None,
        user_agent=None,
        request_id=None,
        operation_id=None,
        trace_id=_trace(event.traceparent),
        correlation_id=cut(event.correlationid, 255),
        source=event.source,
        producer=cut(producer, 255) or "",
        producer_seq=event.producerseq,
        created_at=_storable(event.time),
        words=words_of((event.type, target_type, target_id), *data.values()),
    )


def _storable(moment: datetime) -> datetime:
    """The moment, or its neighbour where it would come back as no moment at all."""
    return min(max(moment, _FIRST), _LAST)


def _target(subject: str | None) -> tuple[str | None, str | None]:
    """`setting/theme` is the setting `theme`; a subject without a slash is a type alone."""
    if not subject:
        return None, None
    kind, _, identifier = subject.partition("/")
    return cut(kind, MOST_TARGET_TYPE), cut(identifier, MOST_TARGET_ID)


def _operation(event: Event, data: Mapping[str, Any], actor_type: str, catalog: Catalog) -> str | None:
    """The operation that the event belongs to: named by it, or the command that an outcome answers."""
    named = data.get("operation_id")
    if isinstance(named, str):
        return cut(named, 128)
    if actor_type != "system" and _ends_operation(event.type, catalog):
        return cut(event.causationid, 128)
    return None


@lru_cache(maxsize=1024)
def _ends_operation(wire_type: str, catalog: Catalog) -> bool:
    model = catalog.find(wire_type)
    return model is not None and issubclass(model, OutcomeData)


def _trace(traceparent: str | None) -> str | None:
    """The trace id of a W3C traceparent; None where it is none."""
    found = _TRACEPARENT.fullmatch(traceparent) if traceparent else None
    return found[1] if found else None


@lru_cache(maxsize=4096)
def _parsed(text: str) -> str | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        # A zone names an interface of the machine that saw it, and an IPv4 client of a dual socket is an IPv4 client.
        address = address.ipv4_mapped or IPv6Address(int(address))
    return str(address)


def _address(text: Any) -> str | None:
    return _parsed(text) if isinstance(text, str) else None
