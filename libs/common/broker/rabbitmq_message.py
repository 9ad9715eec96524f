"""A `Message` as AMQP 0-9-1 properties, and back."""

import base64
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from aiormq.abc import DeliveredMessage
from pamqp.commands import Basic

from libs.common.broker.declare import Names
from libs.common.broker.transport import Message

PERSISTENT = 2
TRANSIENT = 1
MOST_DEPTH = 4
"""Tables within tables in a header; what lies deeper becomes text."""
MOST_ODD_CHARACTERS = 200
ADDED_BY_THE_BROKER = frozenset({"x-delivery-count", "x-acquired-count"})
"""Headers that a quorum queue puts on what it delivers, differently from version to version."""

DEATHS = "x-death"
"""The header in which the broker notes that it dead-lettered a message itself. Copies that we put there do not bear it."""


def properties_of(message: Message, *, login: str, delivery_mode: int) -> Basic.Properties:
    """The properties to publish; `user_id` is the connection's own login, which the broker checks."""
    return Basic.Properties(
        content_type=message.content_type,
        headers=dict(message.headers),
        delivery_mode=delivery_mode,
        correlation_id=message.correlation_id,
        reply_to=message.reply_to,
        message_id=message.message_id,
        timestamp=datetime.now(UTC),
        message_type=message.type,
        user_id=login,
        app_id=message.app_id or None,
    )


def message_of(delivered: DeliveredMessage, names: Names) -> Message:
    """What was delivered, by anybody: text has no NUL, which Postgres refuses, and headers are what JSON knows.

    The broker checks `user_id` where it is given and lets a message without it pass: that is nobody's word.
    """
    properties = delivered.header.properties
    return Message(
        body=delivered.body,
        content_type=_text(properties.content_type) or "",
        exchange=names.in_topology(delivered.exchange or ""),
        routing_key=_text(delivered.routing_key) or "",
        message_id=_text(properties.message_id) or "",
        type=_text(properties.message_type) or "",
        app_id=_text(properties.app_id) or "",
        headers=_headers(properties.headers or {}),
        correlation_id=_text(properties.correlation_id),
        reply_to=_text(properties.reply_to),
        sender=properties.user_id or "",
    )


def is_parked(message: Message) -> bool:
    """Whether the broker itself put this message into a dead-letter queue, and no service of ours the copy of a letter."""
    return DEATHS in message.headers


def _headers(table: Mapping[str, Any]) -> dict[str, Any]:
    plain = _plain_table(table, depth=0)
    return {name: value for name, value in plain.items() if name not in ADDED_BY_THE_BROKER}


def _text(value: str | None) -> str | None:
    return value.replace("\0", "\ufffd") if value and "\0" in value else value


def _plain_table(table: Mapping[str, Any], *, depth: int) -> dict[str, Any]:
    return {
        _text(name) or "": value if type(value) is str and "\0" not in value else _plain(value, depth=depth)
        for name, value in table.items()
    }


def _plain(value: Any, *, depth: int) -> Any:
    match value:
        case str():
            return _text(value)
        case datetime():
            return value.isoformat().replace("+00:00", "Z")
        case bytes() | bytearray():
            return base64.b64encode(value).decode()
        case dict() if depth < MOST_DEPTH:
            return _plain_table(value, depth=depth + 1)
        case list() if depth < MOST_DEPTH:
            return [_plain(item, depth=depth + 1) for item in value]
        case float():
            return value if math.isfinite(value) else str(value)
        case None | bool() | int():
            return value
        case _:
            return str(value)[:MOST_ODD_CHARACTERS]
