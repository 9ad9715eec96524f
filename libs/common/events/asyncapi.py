"""The AsyncAPI 3.1 document of every message type, made from the catalogue's models."""

from typing import Any

from libs.common.events.catalog import Catalog, CommandData, MessageData
from libs.common.events.envelope import STRUCTURED

AMQP_BINDING = "0.3.0"


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
            "messages": {_name(model): _message(model) for model in events},
            "schemas": {name: found for model in events for name, found in _definitions(model).items()},
        },
    }


def _name(model: type[MessageData]) -> str:
    return model.TYPE.replace(".", "_")


def _channel(model: type[MessageData], exchange: str) -> dict[str, Any]:
    return {
        "address": model.TYPE,
        "messages": {_name(model): {"$ref": f"#/components/messages/{_name(model)}"}},
        "bindings": {
            "amqp": {
                "is": "routingKey",
                "exchange": {"name": exchange, "type": "topic", "durable": True, "autoDelete": False, "vhost": "/"},
                "bindingVersion": AMQP_BINDING,
            }
        },
    }


def _data(model: type[MessageData]) -> dict[str, Any]:
    """The schema of `data` inside the document, where references lead to the document's own components."""
    schema = _referring(model)
    return {name: found for name, found in schema.items() if name != "$defs"}


def _definitions(model: type[MessageData]) -> dict[str, Any]:
    found: dict[str, Any] = _referring(model).get("$defs", {})
    return found


def _referring(model: type[MessageData]) -> dict[str, Any]:
    return model.model_json_schema(mode="validation", ref_template="#/components/schemas/{model}")


def _message(model: type[MessageData]) -> dict[str, Any]:
    attributes = {
        "type": "object",
        "required": ["specversion", "id", "source", "type", "time", "data"],
        "properties": {
            "specversion": {"const": "1.0"},
            "id": {"type": "string"},
            "source": {"type": "string"} if model.SOURCE == "*" else {"const": model.SOURCE},
            "type": {"const": model.TYPE},
            "subject": {"type": "string"},
            "time": {"type": "string", "format": "date-time"},
            "data": _data(model),
        },
    }
    return {
        "name": model.TYPE,
        "title": (model.__doc__ or "").strip().split("\n")[0],
        "contentType": STRUCTURED,
        "payload": attributes,
        "examples": [{"name": "example", "payload": {"type": model.TYPE, "data": dict(model.EXAMPLE)}}],
    }
