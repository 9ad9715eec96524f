"""The AsyncAPI 3.1 document of every message type: of the catalogue's models, and of what platforms registered."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from libs.common.events.catalog import Catalog, CommandData, MessageData
from libs.common.events.envelope import STRUCTURED

AMQP_BINDING = "0.3.0"


class ForeignType(NamedTuple):
    """A type that a platform registered. `source` is `*` where any may send it."""

    event_type: str
    source: str
    description: str
    json_schema: dict[str, Any]
    example: Any


def json_schema(model: type[MessageData]) -> dict[str, Any]:
    """The JSON Schema (2020-12) of a type's `data`."""
    return model.model_json_schema(mode="validation")


def describe(model: type[MessageData], *, registered_by: str = "reeve") -> dict[str, Any]:
    """One type as the catalogue endpoint shows it."""
    return {
        "type": model.TYPE,
        "source": model.SOURCE,
        "description": (model.__doc__ or "").strip().split("\n")[0],
        "json_schema": json_schema(model),
        "example": dict(model.EXAMPLE),
        "registered_by": registered_by,
    }


def document(catalog: Catalog, *, version: str, exchange: str) -> dict[str, Any]:
    """The whole document: one channel and one message per event type, CloudEvents on a topic exchange."""
    events = [model for model in catalog if not issubclass(model, CommandData)]
    schemas = {model: _referring(model) for model in events}
    return {
        "asyncapi": "3.1.0",
        "info": {
            "title": "Reeve events",
            "version": version,
            "description": "CloudEvents 1.0 in structured JSON on a RabbitMQ topic exchange; the routing key is the type.",
        },
        "defaultContentType": STRUCTURED,
        "channels": {_name(model): _channel(model, exchange) for model in events},
        "operations": {
            f"receive_{_name(model)}": {"action": "receive", "channel": {"$ref": f"#/channels/{_name(model)}"}}
            for model in events
        },
        "components": {
            "messages": {_name(model): _message(model, schema) for model, schema in schemas.items()},
            "schemas": {name: found for schema in schemas.values() for name, found in schema.get("$defs", {}).items()},
        },
    }


def with_foreign(whole: Mapping[str, Any], foreign: Sequence[ForeignType]) -> dict[str, Any]:
    """The document with these types besides. `whole` stays as it is."""
    exchange = next(iter(whole["channels"].values()))["bindings"]["amqp"]["exchange"]["name"]
    # With a dot in front of the type no name is one of ours, which have none.
    named = {f"registered.{one.event_type}": one for one in foreign}
    channels = {name: _channel_of(name, one.event_type, exchange) for name, one in named.items()}
    operations = {f"receive_{name}": {"action": "receive", "channel": {"$ref": f"#/channels/{name}"}} for name in named}
    messages = {name: _foreign_message(one) for name, one in named.items()}
    components = whole["components"]
    return {
        **whole,
        "channels": {**whole["channels"], **channels},
        "operations": {**whole["operations"], **operations},
        "components": {**components, "messages": {**components["messages"], **messages}},
    }


def _name(model: type[MessageData]) -> str:
    return model.TYPE.replace(".", "_")


def _channel(model: type[MessageData], exchange: str) -> dict[str, Any]:
    return _channel_of(_name(model), model.TYPE, exchange)


def _channel_of(name: str, wire_type: str, exchange: str) -> dict[str, Any]:
    return {
        "address": wire_type,
        "messages": {name: {"$ref": f"#/components/messages/{name}"}},
        "bindings": {
            "amqp": {
                "is": "routingKey",
                "exchange": {"name": exchange, "type": "topic", "durable": True, "autoDelete": False, "vhost": "/"},
                "bindingVersion": AMQP_BINDING,
            }
        },
    }


def _referring(model: type[MessageData]) -> dict[str, Any]:
    """The schema of `data`, where references lead to the document's own components."""
    return model.model_json_schema(mode="validation", ref_template="#/components/schemas/{model}")


def _message(model: type[MessageData], schema: Mapping[str, Any]) -> dict[str, Any]:
    data = {name: found for name, found in schema.items() if name != "$defs"}
    title = (model.__doc__ or "").strip().split("\n")[0]
    source = {"type": "string"} if model.SOURCE == "*" else {"const": model.SOURCE}
    return _message_of(model.TYPE, title=title, source=source, data=data, example=dict(model.EXAMPLE))


def _foreign_message(one: ForeignType) -> dict[str, Any]:
    # Who may send a type is said by what clients are registered for: the source is whose type it is.
    source = {"type": "string"} if one.source == "*" else {"type": "string", "examples": [one.source]}
    title = one.description or one.event_type
    return _message_of(one.event_type, title=title, source=source, data=one.json_schema, example=one.example)


def _message_of(
    wire_type: str, *, title: str, source: dict[str, Any], data: dict[str, Any], example: Any
) -> dict[str, Any]:
    attributes = {
        "type": "object",
        "required": ["specversion", "id", "source", "type", "time", "data"],
        "properties": {
            "specversion": {"const": "1.0"},
            "id": {"type": "string"},
            "source": source,
            "type": {"const": wire_type},
            "subject": {"type": "string"},
            "time": {"type": "string", "format": "date-time"},
            "data": data,
        },
    }
    return {
        "name": wire_type,
        "title": title,
        "contentType": STRUCTURED,
        "payload": attributes,
        "examples": [{"name": "example", "payload": {"type": wire_type, "data": example}}],
    }
