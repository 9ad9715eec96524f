"""The catalogue and its types, as callers see them."""

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Annotated, Any, Self

import orjson
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from libs.common.events import asyncapi
from libs.common.events.all_types import CATALOG
from libs.common.events.catalog import MessageData
from services.gateway.features.clients.models import Source
from services.gateway.features.event_types.models import EventTypeName, RegisteredType
from services.gateway.features.schemas import ListResponse

Description = Annotated[str, StringConstraints(max_length=500, pattern=r"^[^\x00-\x08\x0b-\x1f\x7f]*$")]


class PutEventTypeRequest(BaseModel):
    """A type as it shall be. `source` says whose it is; `*`, and for a client its own, where it is left out."""

    model_config = ConfigDict(extra="forbid")

    type: Annotated[EventTypeName | None, Field(description="The path's, where it is given.")] = None
    source: Source | None = None
    description: Description = ""
    json_schema: Annotated[
        dict[str, Any],
        Field(description="What `data` must fit: JSON Schema 2020-12 without references, at most 16 KiB."),
    ]
    example: Annotated[Any, Field(description="A `data` that fits, at most 16 KiB. It is published with the schema.")]


class EventTypeResponse(BaseModel):
    """One type of the catalogue. Those that are part of Reeve (`registered_by` is `reeve`) have no version but their name's.

    `narrows` are the places of this version's schema that may refuse what the version before took.
    """

    type: str
    source: str
    description: str
    json_schema: dict[str, Any]
    example: Any
    registered_by: str
    version: int | None = None
    registered_at: datetime | None = None
    narrows: list[str] = []

    @classmethod
    def of(cls, one: RegisteredType) -> Self:
        """From what is stored."""
        return cls(
            type=one.event_type, source=one.source, description=one.description, json_schema=one.schema,
            example=orjson.loads(one.example), registered_by=one.registered_by, version=one.version,
            registered_at=one.registered_at, narrows=list(one.narrows),
        )  # fmt: skip


class CatalogResponse(BaseModel):
    """Every type of the catalogue."""

    event_types: list[EventTypeResponse]
    total: int
    total_is_exact: bool = True
    skip: int = 0
    limit: int
    next_cursor: str | None = None


class EventTypeVersionsResponse(ListResponse):
    """One page of a type's versions, the newest first."""

    versions: list[EventTypeResponse]


def whole_catalogue(registered: Sequence[RegisteredType]) -> bytes:
    """The answer with every type, in JSON: Reeve's own, then what platforms registered."""
    own = _own_types()
    others = [orjson.Fragment(EventTypeResponse.of(one).model_dump_json()) for one in registered]
    total = len(own) + len(others)
    found = {"event_types": [*own, *others], "total": total, "total_is_exact": True, "skip": 0, "limit": total}
    return orjson.dumps({**found, "next_cursor": None})


@cache
def entry_of(model: type[MessageData]) -> bytes:
    """The answer with one type of Reeve's own, in JSON."""
    return EventTypeResponse(**asyncapi.describe(model)).model_dump_json().encode()


@cache
def _own_types() -> tuple[orjson.Fragment, ...]:
    """They never change while a process lives, and making them takes a tenth of a second."""
    return tuple(orjson.Fragment(entry_of(model)) for model in CATALOG)
