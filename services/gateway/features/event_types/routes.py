"""The catalogue of event types, the schemas that platforms register for their own, and the AsyncAPI document of all."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from libs.common.errors import Invalid
from libs.common.events.all_types import CATALOG
from libs.common.identity import Caller
from libs.common.web.paging import Paging, counted, decode_cursor, encode_cursor
from services.gateway.access.guard import public, requires
from services.gateway.access.sessions import AccessControl
from services.gateway.features.event_types import commands, store
from services.gateway.features.event_types.commands import EventTypes
from services.gateway.features.event_types.models import EventTypeName, event_type_not_found, registration
from services.gateway.features.event_types.schemas import (
    CatalogResponse,
    EventTypeResponse,
    EventTypeVersionsResponse,
    PutEventTypeRequest,
    entry_of,
    whole_catalogue,
)
from services.gateway.features.preconditions import creates_only, expected_version, is_unchanged
from services.gateway.features.route import AdminRoute
from services.gateway.features.schemas import NOT_MODIFIED, answers

admin_router = APIRouter(prefix="/events/catalog", tags=["events"], route_class=AdminRoute)
router = APIRouter(tags=["events"], route_class=AdminRoute)

TARGET = "event_type/{event_type}"
MayBrowse = Annotated[Caller, Depends(requires("system:read", action="list_event_types"))]
MayRead = Annotated[Caller, Depends(requires("system:read", action="view_event_type", target=TARGET))]
MayTrace = Annotated[Caller, Depends(requires("system:read", action="list_event_type_versions", target=TARGET))]
MayRegister = Annotated[Caller, Depends(requires("roles:write", action="register_event_type", target=TARGET))]
MayDelete = Annotated[Caller, Depends(requires("roles:write", action="delete_event_type", target=TARGET))]
Anyone = Annotated[Caller, Depends(public(action="view_event_document"))]
TypeName = Annotated[EventTypeName, Path()]


@router.get("/asyncapi.json")
async def asyncapi_document(request: Request, _: Anyone) -> Response:
    """The AsyncAPI 3.1 document of every event type, those that platforms registered among them."""
    types: EventTypes = request.app.state.event_types
    return Response(await types.document(), media_type="application/json")


@admin_router.get("", responses=answers(CatalogResponse))
async def list_event_types(request: Request, caller: MayBrowse) -> Response:
    """Every known type with its JSON Schema and an example. A platform's own types may be sent unregistered."""
    access: AccessControl = request.app.state.access
    async with access.database.reading() as session:
        registered = await store.load_all(session)
    return Response(whole_catalogue(registered), media_type="application/json")


@admin_router.get("/{event_type}", responses={**answers(EventTypeResponse), **NOT_MODIFIED})
async def view_event_type(request: Request, caller: MayRead, event_type: TypeName) -> Response:
    """One type; of one that a platform registered the newest version, which is its `ETag`."""
    model = CATALOG.find(event_type)
    if model is not None:
        return Response(entry_of(model), media_type="application/json")
    access: AccessControl = request.app.state.access
    async with access.database.reading() as session:
        found = await store.find(session, event_type)
    if found is None or found.is_deleted:
        raise event_type_not_found(event_type)
    headers = {"ETag": f'"{found.version}"'}
    if is_unchanged(request, found.version):
        return Response(status_code=304, headers=headers)
    return Response(EventTypeResponse.of(found).model_dump_json(), media_type="application/json", headers=headers)


@admin_router.get("/{event_type}/versions")
async def list_event_type_versions(
    request: Request, caller: MayTrace, event_type: TypeName, page: Paging
) -> EventTypeVersionsResponse:
    """Every version of a registered type, the newest first, also of one that was deleted."""
    access: AccessControl = request.app.state.access
    bound: dict[str, Any] = {"resource": "event_type_versions", "filters": {"type": event_type}}
    skip = page.skip
    if page.cursor is not None:
        skip = int(decode_cursor(access.cursors, page.cursor, **bound)[0] or 0)
    async with access.database.reading() as session:
        count = await store.count_versions(session, event_type)
        found = await store.search_versions(session, event_type, skip=skip, limit=page.limit)
    if not count:
        raise event_type_not_found(event_type)
    end = skip + page.limit
    total, is_exact = counted(count)
    return EventTypeVersionsResponse(
        versions=[EventTypeResponse.of(one) for one in found],
        total=total,
        total_is_exact=is_exact,
        skip=page.skip,
        limit=page.limit,
        next_cursor=encode_cursor(access.cursors, [end], **bound) if count > end else None,
    )


@admin_router.put("/{event_type}", responses={201: {"model": EventTypeResponse, "description": "The type is new."}})
async def register_event_type(
    *, request: Request, response: Response, caller: MayRegister, event_type: TypeName, body: PutEventTypeRequest
) -> EventTypeResponse:
    """Register a schema for a type that is not Reeve's, or its next version; versions are kept.

    It holds from now on for events that come over HTTP, and on AMQP for what is behind this change in the audit service's
    queue. A version that narrows is taken: `narrows` says where it may refuse what the one before took. The same
    again changes nothing. A client registers types of its own source and patterns alone. Honours `If-Match`, and
    `If-None-Match: *` to make it only.
    """
    if body.type is not None and body.type != event_type:
        raise Invalid("type must be the one of the path, or left out", code="invalid_event_type")
    new = registration(
        source=body.source, description=body.description, json_schema=body.json_schema, example=body.example
    )
    access: AccessControl = request.app.state.access
    types: EventTypes = request.app.state.event_types
    clients = await request.app.state.senders.clients()
    async with access.database.transaction() as session:
        found, is_new, is_changed = await commands.register_type(
            session, caller, event_type, new, clients=clients, version=expected_version(request),
            creates_only=creates_only(request),
        )  # fmt: skip
    request.state.recorded = is_changed
    types.evict()
    response.headers["ETag"] = f'"{found.version}"'
    if is_new:
        response.status_code = 201
        response.headers["Location"] = f"/api/v1/admin/events/catalog/{event_type}"
    return EventTypeResponse.of(found)


@admin_router.delete("/{event_type}", status_code=204)
async def delete_event_type(
    request: Request,
    caller: MayDelete,
    event_type: TypeName,
    confirm: Annotated[bool | None, Query()] = None,
) -> Response:
    """Take a registered type's schema away: it may be sent as every unregistered one. Its versions stay. Honours `If-Match`."""
    access: AccessControl = request.app.state.access
    types: EventTypes = request.app.state.event_types
    clients = await request.app.state.senders.clients()
    async with access.database.transaction() as session:
        await commands.delete_type(session, caller, event_type, clients=clients, version=expected_version(request))
    request.state.recorded = True
    types.evict()
    return Response(status_code=204)
