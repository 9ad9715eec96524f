"""Taking events, and the catalogue, as callers see them."""

from typing import Any

from pydantic import BaseModel


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
