"""Messages about the types that platforms register, and the schemas of these."""

from typing import Any, ClassVar

from libs.common.events.catalog import Change, MessageData

_SCHEMA = {"type": "object", "required": ["order_id"], "properties": {"order_id": {"type": "string"}}}


class EventTypeRegistered(MessageData):
    """A type of a platform's has a schema, or another one: what is sent from now on is held to it.

    `revision` counts all changes of the catalogue; `narrows` are the places that may refuse what the version before took.
    """

    TYPE: ClassVar[str] = "reeve.event_type.registered.v1"
    SOURCE: ClassVar[str] = "/reeve/gateway"
    ACTION: ClassVar[str] = "register_event_type"
    EXAMPLE: ClassVar[dict[str, Any]] = {
        "event_type": "com.shop.order.placed.v1", "version": 1, "revision": 7, "source": "/platform/shop",
        "description": "Somebody bought something.", "json_schema": _SCHEMA, "example": {"order_id": "4711"}, "narrows": [],
        "changes": {"version": {"new": 1}, "json_schema": {"new": _SCHEMA}},
    }  # fmt: skip

    event_type: str
    version: int
    revision: int
    source: str
    description: str
    json_schema: dict[str, Any]
    example: Any = None
    narrows: list[str]
    changes: dict[str, Change]


class EventTypeDeleted(MessageData):
    """A type of a platform's has no schema any more: it may be sent as every unregistered one."""

    TYPE: ClassVar[str] = "reeve.event_type.deleted.v1"
    SOURCE: ClassVar[str] = "/reeve/gateway"
    ACTION: ClassVar[str] = "delete_event_type"
    EXAMPLE: ClassVar[dict[str, Any]] = {
        "event_type": "com.shop.order.placed.v1", "version": 1, "revision": 8,
        "changes": {"version": {"old": 1}, "json_schema": {"old": _SCHEMA}},
    }  # fmt: skip

    event_type: str
    version: int
    revision: int
    changes: dict[str, Change]


CHANGES = frozenset({EventTypeRegistered.TYPE, EventTypeDeleted.TYPE})
"""The types that change what is held against which schema."""
