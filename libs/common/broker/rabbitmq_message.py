"""A `Message` as AMQP 0-9-1 properties, and back."""

import base64
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from aiormq.abc import DeliveredMessage
from pamqp.commands import Basic

from libs.common.broker.declare import Names
from libs.common.broker.transport import Message

PERSISTENT = 2
TRANSIENT = 1


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
    """What was delivered; header values become what JSON knows, as anybody may have sent them."""
    properties = delivered.header.properties
    return Message(
        body=delivered.body,
        content_type=properties.content_type or "",
        exchange=names.in_topology(delivered.exchange or ""),
        routing_key=delivered.routing_key or "",
        message_id=properties.message_id or "",
        type=properties.message_type or "",
        app_id=properties.app_id or "",
        headers=_plain_table(properties.headers or {}),
        correlation_id=properties.correlation_id,
        reply_to=properties.reply_to,
        sender=properties.user_id or None,
    )


def _plain_table(table: Mapping[str, Any]) -> dict[str, Any]:
    return {str(name): _plain(value) for name, value in table.items()}


def _plain(value: Any) -> Any:
    match value:
        case datetime():
            return value.isoformat().replace("+00:00", "Z")
        case bytes() | bytearray():
            return base64.b64encode(value).decode()
        case dict():
            return _plain_table(value)
        case list() | tuple():
            return [_plain(item) for item in value]
        case None | bool() | int() | float() | str():
            return value
        case _:
            return str(value)
