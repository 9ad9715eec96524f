"""The envelope of every message: CloudEvents 1.0, in JSON.

`encode` gives the structured form; `decode_message` reads structured, batched and binary mode with
the header prefixes `cloudEvents_`, `cloudEvents:` and `ce-` (CloudEvents AMQP binding 1.0, and the
`ce-` one of RabbitMQ tools). What does not fit raises `MalformedEvent` with the reason.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, NamedTuple

import orjson

STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
JSON = "application/json"

MOST_EVENT_BYTES = 256 * 1024
MOST_DEPTH = 32
HEADER_PREFIXES = ("cloudEvents_", "cloudEvents:", "ce-")

_NAME = re.compile(r"[a-z0-9]{1,20}")
_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")
_SOURCE = re.compile(r"[!-~]{1,255}")
_KNOWN = (
    "datacontenttype", "dataschema", "actorid", "actortype", "correlationid", "causationid",
    "severitytext", "traceparent", "tracestate",
)  # fmt: skip
_TEXTS = {"subject": 512, **dict.fromkeys(_KNOWN, 1024)}
"""Attributes that are texts and may be absent, with the most characters they may have."""
_OTHERS = frozenset({"specversion", "id", "source", "type", "time", "data", "data_base64", "producerseq"})


class MalformedEvent(ValueError):
    """These bytes are no CloudEvent that Reeve takes; the message says why, without the data."""


class Event(NamedTuple):
    """One CloudEvent. `time` is aware and in UTC; `data` is JSON (an object, but for foreign events)."""

    id: str
    source: str
    type: str
    time: datetime
    data: Any
    subject: str | None = None
    datacontenttype: str | None = JSON
    dataschema: str | None = None
    actorid: str | None = None
    actortype: str | None = None
    correlationid: str | None = None
    causationid: str | None = None
    severitytext: str | None = None
    traceparent: str | None = None
    tracestate: str | None = None
    producerseq: int | None = None
    extensions: Mapping[str, str | int | bool] = MappingProxyType({})

    def numbered(self, producerseq: int) -> "Event":
        """This event with the number that its producer's relay gave it."""
        return self._replace(producerseq=producerseq)

    @property
    def severity(self) -> str:
        """`severitytext` in lower case, `info` when it is absent."""
        return (self.severitytext or "info").lower()


def rfc3339(moment: datetime) -> str:
    """RFC 3339 in UTC with `Z` and microseconds."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")[:-6] + "Z"


def attributes(event: Event) -> dict[str, Any]:
    """All context attributes that are set, without the data, in a stable order."""
    found: dict[str, Any] = {
        "specversion": "1.0",
        "id": event.id,
        "source": event.source,
        "type": event.type,
        "time": rfc3339(event.time),
    }
    if event.subject is not None:
        found["subject"] = event.subject
    for name in _KNOWN:
        value = getattr(event, name)
        if value is not None:
            found[name] = value
    if event.producerseq is not None:
        found["producerseq"] = str(event.producerseq)
    found.update(event.extensions)
    return found


def encode(event: Event) -> bytes:
    """The structured JSON form. Datetimes, UUIDs and enums inside `data` are written as text."""
    return orjson.dumps({**attributes(event), "data": event.data}, default=str)


def splice_producerseq(body: bytes, producerseq: int) -> bytes:
    """The structured form `body` with `producerseq` put in front, without parsing it."""
    return b'{"producerseq":"%d",%b' % (producerseq, body[1:])


def pack(bodies: list[bytes]) -> bytes:
    """Several structured forms as one batch (CloudEvents JSON format, section 4)."""
    return b"[" + b",".join(bodies) + b"]"


def decode(body: bytes) -> Event:
    """One event from its structured JSON form."""
    return from_mapping(_json(body))


def decode_message(
    content_type: str | None, headers: Mapping[str, Any], body: bytes, *, trusted: bool = False
) -> list[Event]:
    """All events of one message, in order. Raises `MalformedEvent` when any of them cannot be read.

    `trusted` says that our own relay wrote the bytes: their nesting was checked on the way in.
    """
    kind = (content_type or "").split(";", 1)[0].strip().lower()
    if kind == BATCH:
        items = _json(body, trusted=trusted)
        if not isinstance(items, list):
            raise MalformedEvent("a batch must be a JSON array")
        return [from_mapping(item) for item in items]
    if kind.startswith("application/cloudevents"):
        if kind != STRUCTURED:
            raise MalformedEvent(f"content type {kind[:80]} is not read")
        return [from_mapping(_json(body, trusted=trusted))]
    return [_binary(content_type, headers, body)]


def from_mapping(found: Any) -> Event:
    """One event from the parsed structured form; checks names, sizes and types of all attributes."""
    if not isinstance(found, dict):
        raise MalformedEvent("an event must be a JSON object")
    if found.get("specversion") != "1.0":
        raise MalformedEvent('specversion must be "1.0"')
    if "data" in found and "data_base64" in found:
        raise MalformedEvent("an event has data or data_base64, not both")
    data = {"data_base64": found["data_base64"]} if "data_base64" in found else found.get("data")
    kind = _required(found, "type", _TYPE)
    event_id = found.get("id")
    if not isinstance(event_id, str) or not 1 <= len(event_id) <= 255 or "\0" in event_id:
        raise MalformedEvent("id must be 1..255 characters without U+0000")
    source = _required(found, "source", _SOURCE)
    time = _time(found.get("time"))
    number = _number(found.get("producerseq"))
    texts: dict[str, Any] = {"datacontenttype": None}
    extensions: dict[str, str | int | bool] = {}
    for name, value in found.items():
        if name in _TEXTS:
            if value is not None:
                texts[name] = _text(value, name, _TEXTS[name])
        elif name not in _OTHERS:
            extensions[name] = _extension(value, name)
    return Event(event_id, source, kind, time, data, producerseq=number, extensions=extensions, **texts)


def _binary(content_type: str | None, headers: Mapping[str, Any], body: bytes) -> Event:
    found: dict[str, Any] = {}
    for name, value in headers.items():
        for prefix in HEADER_PREFIXES:
            if name.lower().startswith(prefix.lower()):
                text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
                if isinstance(text, datetime):
                    text = rfc3339(text)
                elif name.lower().endswith("time") and isinstance(text, int) and not isinstance(text, bool):
                    text = _amqp_time(text)
                found[name[len(prefix) :].lower()] = text
    if not found:
        raise MalformedEvent("neither a CloudEvents content type nor CloudEvents headers")
    found.pop("datacontenttype", None)
    kind = (content_type or JSON).split(";", 1)[0].strip().lower()
    if kind == JSON or kind.endswith("+json"):
        data = _json(body) if body else None
    else:
        data = {"text": body.decode("utf-8", "replace")}
    return from_mapping({**found, "datacontenttype": kind, "data": data})


def _json(body: bytes, *, trusted: bool = False) -> Any:
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise MalformedEvent("the body is not JSON") from error
    if not trusted and body.count(b"[") + body.count(b"{") > MOST_DEPTH and depth_exceeds(found, MOST_DEPTH + 3):
        raise MalformedEvent(f"the body is nested deeper than {MOST_DEPTH} levels")
    return found


def depth_exceeds(value: Any, most: int) -> bool:
    """Whether `value` nests objects and arrays deeper than `most` levels, its own being the first. Never recurses."""
    level: list[Any] = [value] if isinstance(value, dict | list) else []
    for _ in range(most):
        level = [
            child
            for item in level
            for child in (item.values() if isinstance(item, dict) else item)
            if isinstance(child, dict | list)
        ]
        if not level:
            return False
    return bool(level)


def _amqp_time(milliseconds: int) -> str:
    """An AMQP 1.0 timestamp, as the CloudEvents SDKs write `time` into native properties."""
    try:
        return rfc3339(datetime.fromtimestamp(milliseconds / 1000, UTC))
    except (OverflowError, ValueError, OSError) as error:
        raise MalformedEvent("time is out of range") from error


def _required(found: Mapping[str, Any], name: str, pattern: re.Pattern[str]) -> str:
    value = found.get(name)
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise MalformedEvent(f"{name} is missing or does not match {pattern.pattern}")
    return value


def _text(value: Any, name: str, most: int) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= most or "\0" in value:
        raise MalformedEvent(f"{name} must be 1..{most} characters without U+0000")
    return value


def _extension(value: Any, name: str) -> str | int | bool:
    if not _NAME.fullmatch(name):
        raise MalformedEvent("an attribute name must match [a-z0-9]{1,20}")
    if not isinstance(value, str | int | bool) or (isinstance(value, str) and (len(value) > 1024 or "\0" in value)):
        raise MalformedEvent(f"attribute {name} must be a string of at most 1024 characters, an integer or a boolean")
    return value


def _time(value: Any) -> datetime:
    if value is None:
        return datetime.now(UTC)
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError) as error:
        raise MalformedEvent("time must be an RFC 3339 timestamp") from error
    if moment.tzinfo is None:
        raise MalformedEvent("time must carry its offset from UTC")
    try:
        return moment if moment.tzinfo is UTC else moment.astimezone(UTC)
    except OverflowError as error:
        raise MalformedEvent("time is out of range") from error


def _number(value: Any) -> int | None:
    if value is None:
        return None
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 18:
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**18:
        return value
    raise MalformedEvent("producerseq must be a whole number of at most 18 digits")
