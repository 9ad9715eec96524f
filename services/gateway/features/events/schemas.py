"""Taking events, and the catalogue, as callers see them."""

from functools import cache
from typing import Any

from pydantic import BaseModel

from libs.common.events import asyncapi
from libs.common.events.all_types import CATALOG
from libs.common.events.catalog import MessageData


class AcceptedResponse(BaseModel):
    """How many events are durable now."""

    accepted: int


class EventTypeResponse(BaseModel):
    """One type of the catalogue."""

    type: str
    source: str
    description: str
    json_schema: dict[str, Any]
    example: dict[str, Any]
    registered_by: str


class CatalogResponse(BaseModel):
    """Every type of the catalogue."""

    event_types: list[EventTypeResponse]
    total: int
    total_is_exact: bool = True
    skip: int = 0
    limit: int
    next_cursor: str | None = None


@cache
def whole_catalogue() -> bytes:
    """The answer with every type, in JSON. It never changes while a process lives, and making it takes a tenth of a second."""
    types = [EventTypeResponse(**asyncapi.describe(model)) for model in CATALOG]
    return CatalogResponse(event_types=types, total=len(types), limit=len(types)).model_dump_json().encode()


@cache
def entry_of(model: type[MessageData]) -> bytes:
    """The answer with one type of the catalogue, in JSON."""
    return EventTypeResponse(**asyncapi.describe(model)).model_dump_json().encode()
