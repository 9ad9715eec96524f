"""Events in over HTTP."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request

from libs.common.identity import Caller
from services.gateway.access.guard import requires
from services.gateway.features.event_types.commands import EventTypes
from services.gateway.features.events import commands
from services.gateway.features.events.schemas import AcceptedResponse
from services.gateway.features.route import AdminRoute

router = APIRouter(tags=["events"], route_class=AdminRoute)

MayPublish = Annotated[Caller, Depends(requires("events:publish", action="publish_events", limited=False))]

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

    An event that came before, by its `source` and `id`, is answered the same and taken once; so a request whose answer was
    lost may be sent again.

    Binary mode carries the attributes as `ce-*` headers and the data as the body. Data that does not fit the schema that is
    registered for its type is 422 `invalid_event`, with the place and the version that says so.
    """
    types: EventTypes = request.app.state.event_types
    events = commands.read_events(request.headers.get("content-type"), request.headers, await request.body())
    clients = await request.app.state.senders.clients()
    await types.book.refresh()
    await commands.check_events(events, caller, clients, types.book)
    await request.app.state.journal.take_in(*[commands.attributed(event, caller) for event in events])
    request.state.recorded = True
    return AcceptedResponse(accepted=len(events))
