"""An audit entry, and what each event says in one. Pure: the same event always makes the same entry."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

import orjson

from libs.common.events.catalog import Catalog, OutcomeData, action_of
from libs.common.events.envelope import Event
from libs.common.events.requests import OperationRejected

MOST_DETAIL_BYTES = 32 * 1024
MOST_TEXT = 500
MOST_WORDS = 32
MOST_WORD = 64
TRUNCATED = "_truncated"

Address = IPv4Address | IPv6Address

_TOKEN = re.compile(r"[^\W_]+(?:[._@:-][^\W_]+)*")
_PART = re.compile(r"[^\W_]+")
_NOT_STORABLE = re.compile("[\x00\ud800-\udfff]")
_TOLD_ELSEWHERE = frozenset(
    {
        "origin",
        "changes",
        "action",
        "outcome",
        "result",
        "target_type",
        "target_id",
        "operation_id",
        "sealed_value",
        "sealed_default_value",
    }
)
_SEVERITIES = frozenset({"info", "warning", "error", "critical"})
_ACTOR_TYPES = frozenset({"admin", "client", "system", "anonymous"})


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the audit log, before it has its place. `details` and `changes` are JSON texts."""

    event_id: str
    event_type: str
    action: str
    target_type: str | None
    target_id: str | None
    admin_user_id: str | None
    admin_username: str | None
    actor_type: str
    outcome: str
    severity: str
    details: str
    changes: str | None
    ip_address: Address | None
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
    """The entry of one event. Texts are cut to their bounds and made storable; nothing is refused."""
    data: Mapping[str, Any] = event.data if isinstance(event.data, dict) else {"data": event.data}
    origin = data.get("origin")
    origin = origin if isinstance(origin, dict) and event.source.startswith("/reeve/") else {}
    target_type, target_id = _target(event.subject)
    action = _cut(action_of(event, catalog), 255) or event.type
    is_admin = event.actortype == "admin"
    username = _cut(origin.get("username"), 254)
    return Entry(
        event_id=_cut(event.id, 255) or "",
        event_type=event.type,
        action=action,
        target_type=target_type,
        target_id=target_id,
        admin_user_id=_cut(event.actorid, 128) if is_admin else None,
        admin_username=username if is_admin else None,
        actor_type=event.actortype if event.actortype in _ACTOR_TYPES else _kind_of(event),
        outcome=_outcome(event, data),
        severity=event.severity if event.severity in _SEVERITIES else "info",
        details=_json({name: value for name, value in data.items() if name not in _TOLD_ELSEWHERE}),
        changes=_json(data["changes"]) if isinstance(data.get("changes"), dict) else None,
        ip_address=_address(origin.get("ip_address")),
        user_agent=_cut(origin.get("user_agent"), MOST_TEXT),
        request_id=_cut(origin.get("request_id"), 128),
        operation_id=_operation(event, data, catalog),
        trace_id=event.traceparent[3:35] if event.traceparent and len(event.traceparent) == 55 else None,
        correlation_id=_cut(event.correlationid, 255),
        source=event.source,
        producer=producer,
        producer_seq=event.producerseq,
        created_at=event.time,
        words=words_of((action, event.type, target_type, target_id, username), data),
    )


def words_of(said: Iterable[str | None], data: Mapping[str, Any]) -> list[str]:
    """The lower-case words that a search finds an entry by, at most 32: whole tokens and their parts."""
    texts = [*said, *(value for name, value in data.items() if isinstance(value, str) and name not in _TOLD_ELSEWHERE)]
    return tokens(" ".join(text[:200] for text in texts if text))[:MOST_WORDS]


def tokens(text: str) -> list[str]:
    """The distinct words of a text in lower case, each compound also by its parts: `a.b@c` gives `a.b@c`, `a`, `b`, `c`."""
    found: dict[str, None] = {}
    for token in _TOKEN.findall(text.lower()[:4000]):
        found[token[:MOST_WORD]] = None
        parts = _PART.findall(token)
        if len(parts) > 1:
            for part in parts:
                found[part[:MOST_WORD]] = None
    return list(found)


def _target(subject: str | None) -> tuple[str | None, str | None]:
    if not subject:
        return None, None
    kind, _, identifier = subject.partition("/")
    return _cut(kind, 100), _cut(identifier, 255) if identifier else None


def _kind_of(event: Event) -> str:
    return "system" if event.source.startswith("/reeve/") else "client"


def _outcome(event: Event, data: Mapping[str, Any]) -> str:
    if event.source.startswith("/reeve/"):
        if event.type == OperationRejected.TYPE:
            return "failure"
        said = data.get("outcome")
        return said if said in ("success", "denied", "failure") else "success"
    return "failure" if ".failed." in event.type or event.type.endswith(".failed") else "success"


def _operation(event: Event, data: Mapping[str, Any], catalog: Catalog) -> str | None:
    said = data.get("operation_id")
    if isinstance(said, str):
        return _cut(said, 128)
    model = catalog.find(event.type)
    if model is not None and issubclass(model, OutcomeData):
        return _cut(event.causationid, 128)
    return None


def _json(value: Any) -> str:
    """JSON text that jsonb takes, at most 32 KiB; what is longer is cut and marked."""
    text = orjson.dumps(value, default=str)
    if len(text) > MOST_DETAIL_BYTES:
        kept = text[: MOST_DETAIL_BYTES // 2].decode("utf-8", "ignore").replace("\\", "/")
        text = orjson.dumps({TRUNCATED: True, "bytes": len(text), "begin": kept})
    if b"\\u0000" in text:
        text = text.replace(b"\\u0000", b"\\ufffd")
    return text.decode("utf-8", "replace")


def _cut(text: Any, most: int) -> str | None:
    if not isinstance(text, str) or not text:
        return None
    return _NOT_STORABLE.sub("\ufffd", text[:most])


@lru_cache(maxsize=4096)
def _parsed(text: str) -> Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


def _address(text: Any) -> Address | None:
    return _parsed(text) if isinstance(text, str) else None
