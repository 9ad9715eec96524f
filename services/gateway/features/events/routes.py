"""Events in over HTTP, and the catalogue of what may be sent."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from libs.common.errors import NotFound
from libs.common.events.all_types import CATALOG
from libs.common.identity import Caller
from services.gateway.access.guard import public, requires
from services.gateway.features.events import commands
from services.gateway.features.events.schemas import (
    AcceptedResponse,
    CatalogResponse,
    EventTypeResponse,
    entry_of,
    whole_catalogue,
)
from services.gateway.features.route import AdminRoute
from services.gateway.features.schemas import answers

admin_router = APIRouter(prefix="/events", tags=["events"], route_class=AdminRoute)
router = APIRouter(tags=["events"], route_class=AdminRoute)

MayPublish = Annotated[Caller, Depends(requires("events:publish", action="publish_events", limited=False))]
MayBrowse = Annotated[Caller, Depends(requires("system:read", action="list_event_types"))]
MayRead = Annotated[
    Caller, Depends(requires("system:read", action="view_event_type", target="event_type/{event_type}"))
]
Anyone = Annotated[Caller, Depends(public(action="view_event_document"))]

_EVENT: dict[str, Any] = {
    "type": "object",
    "required": ["specversion", "id", "source", "type"],
    "properties": {
        "specversion": {"const": "1.0"},
        "id": {"type": "string", "minLength": 1, "maxLength": 255},
        "source": {"type": "string", "minLength": 1, "maxLength": 255, "description": "The source registered for you."},
        "type": {"type": "string", "minLength": 1, "maxLength": 255},
        "subject": {"type": ["string", "null"], "minLength": 1, "maxLength": 512},
        "time": {"type": ["string", "null"], "format": "date-time"},
        "datacontenttype": {"type": ["string", "null"], "minLength": 1, "maxLength": 1024},
        "data": {},
    },
}
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/cloudevents+json": {
                "schema": _EVENT,
            },
            "application/cloudevents-batch+json": {
                "schema": {"type": "array", "minItems": 1, "maxItems": commands.MOST_EVENTS, "items": _EVENT}
            },
        },
    }
}


@router.post("/events", status_code=202, openapi_extra=_BODY)
async def publish_events(request: Request, caller: MayPublish) -> AcceptedResponse:
    """Take CloudEvents 1.0 in structured, batched or binary mode. 202 after they are durable, all or none.

    Binary mode carries the attributes as `ce-*` headers and the data as the body.
    """
    events = commands.read_events(request.headers.get("content-type"), request.headers, await request.body())
    commands.check_events(events, caller, await request.app.state.senders.clients())
    await request.app.state.journal.record(*[commands.attributed(event, caller) for event in events])
    request.state.recorded = True
    return AcceptedResponse(accepted=len(events))


@router.get("/asyncapi.json")
async def asyncapi_document(request: Request, _: Anyone) -> Response:
    """The AsyncAPI 3.1 document of every event type."""
    return Response(request.app.state.asyncapi, media_type="application/json")


@admin_router.get("/catalog", responses=answers(CatalogResponse))
async def list_event_types(caller: MayBrowse) -> Response:
    """Every registered type with its JSON Schema and an example. A platform's own types may be sent unregistered."""
    return Response(whole_catalogue(), media_type="application/json")


@admin_router.get("/catalog/{event_type}", responses=answers(EventTypeResponse))
async def view_event_type(caller: MayRead, event_type: str) -> Response:
    """One registered type."""
    model = CATALOG.find(event_type)
    if model is None:
        raise NotFound(f"{event_type[:100]} is not in the catalogue", code="event_type_not_found")
    return Response(entry_of(model), media_type="application/json")
