"""A type that a platform registered: what it must look like, and whose it may be."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

import orjson
from pydantic import StringConstraints

from libs.common.delivery.senders import RegisteredClient, type_allowed
from libs.common.errors import Conflict, Forbidden, Invalid, NotFound
from libs.common.events.catalog import RESERVED
from libs.common.json_schema.check import broken_rule, is_pattern
from libs.common.json_schema.shape import Schema, check_schema

ANY_SOURCE = "*"
MOST_TYPES = 500
"""Types that have a schema at once."""
MOST_DELETED = 1_000
"""Deleted types whose versions are kept; beyond them the oldest go."""
MOST_VERSIONS = 200
"""Versions of one type."""
MOST_SCHEMA_BYTES = 16 * 1024
MOST_EXAMPLE_BYTES = 16 * 1024

EventTypeName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,254}$")]


@dataclass(frozen=True, slots=True)
class Registration:
    """What somebody registers. `json_schema` and `example` are JSON texts; `source` is None where none was named."""

    source: str | None
    description: str
    json_schema: str
    example: str


@dataclass(frozen=True, slots=True)
class RegisteredType:
    """One version of a registered type. `narrows` are the places that may refuse what the version before took."""

    event_type: str
    version: int
    source: str
    description: str
    json_schema: str
    example: str
    narrows: Sequence[str]
    registered_by: str
    registered_at: datetime
    is_deleted: bool = False

    @property
    def schema(self) -> Schema:
        """The schema as it is judged by."""
        found: Schema = orjson.loads(self.json_schema)
        return found


def registration(*, source: str | None, description: str, json_schema: Schema, example: Any) -> Registration:
    """What is registered, checked: the schema is of the subset, and the example fits it.

    Raises 422 `invalid_json_schema` or `invalid_example`.
    """
    check_schema(json_schema, is_pattern=is_pattern)
    schema_text = orjson.dumps(json_schema)
    if len(schema_text) > MOST_SCHEMA_BYTES:
        raise Invalid(f"json_schema may have at most {MOST_SCHEMA_BYTES} bytes", code="invalid_json_schema")
    example_text = orjson.dumps(example)
    if len(example_text) > MOST_EXAMPLE_BYTES:
        raise Invalid(f"example may have at most {MOST_EXAMPLE_BYTES} bytes", code="invalid_example")
    broken = broken_rule(example, json_schema)
    if broken is not None:
        raise Invalid(f"the example does not fit the json_schema: {broken}", code="invalid_example")
    return Registration(source, description, schema_text.decode(), example_text.decode())


def refuse_reserved(event_type: str) -> None:
    """Raise 409 `builtin_event_type` for the types that are Reeve's to define."""
    if event_type.startswith(RESERVED):
        raise Conflict(
            f"types below {' and '.join(RESERVED)} are part of Reeve; register one of your own",
            code="builtin_event_type",
        )


def refuse_others(client: RegisteredClient | None, event_type: str, *, source: str) -> None:
    """Raise 403 unless the type and its source are this client's own to register."""
    if client is None or source != client.source:
        raise Forbidden(f"you may not register types of {source[:100]}", code="source_not_allowed")
    if not type_allowed(event_type, client.event_types):
        raise Forbidden(f"you may not register {event_type[:100]}", code="event_type_not_allowed")


def event_type_not_found(event_type: str) -> NotFound:
    """The 404 of a type."""
    return NotFound(f"{event_type[:100]} is not in the catalogue", code="event_type_not_found")
