"""What was detected: the list, what came of each, and an overview."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request

from libs.common.identity import Caller
from libs.common.web.paging import counted, decode_cursor, encode_cursor
from libs.common.web.query import query_of
from services.gateway.access.guard import requires
from services.gateway.access.sessions import AccessControl
from services.gateway.features.route import AdminRoute
from services.gateway.features.security_events import commands, store
from services.gateway.features.security_events.schemas import (
    ResolveSecurityEventRequest,
    SecurityEventResponse,
    SecurityEventsQuery,
    SecurityEventsResponse,
    SecurityOverviewResponse,
)

router = APIRouter(prefix="/security", tags=["security"], route_class=AdminRoute)

MOST_LATEST = 10
MOST_OVERVIEW_HOURS = 168
TARGET = "security_event/{id}"
MayList = Annotated[Caller, Depends(requires("security:read", action="list_security_events"))]
MayRead = Annotated[Caller, Depends(requires("security:read", action="view_security_event", target=TARGET))]
MayOverlook = Annotated[Caller, Depends(requires("security:read", action="view_security_overview"))]
MayResolve = Annotated[Caller, Depends(requires("security:write", action="resolve_security_event", target=TARGET))]


@router.get("/events")
async def list_security_events(
    request: Request, caller: MayList, query: Annotated[SecurityEventsQuery, Depends(query_of(SecurityEventsQuery))]
) -> SecurityEventsResponse:
    """Security events, newest first."""
    access: AccessControl = request.app.state.access
    page, filters = query.page(), query.named()
    before = None
    if page.cursor is not None:
        before = str(decode_cursor(access.cursors, page.cursor, resource="security_events", filters=filters)[0])
    async with access.database.reading() as session:
        found, count = await store.search(session, query.sought(), before=before, skip=page.skip, limit=page.limit + 1)
    shown = found[: page.limit]
    next_cursor = None
    if len(found) > page.limit:
        next_cursor = encode_cursor(access.cursors, [shown[-1].id], resource="security_events", filters=filters)
    total, is_exact = counted(count)
    return SecurityEventsResponse(
        events=[SecurityEventResponse.of(one) for one in shown],
        total=total,
        total_is_exact=is_exact,
        skip=page.skip,
        limit=page.limit,
        next_cursor=next_cursor,
    )


@router.get("/events/{id}")
async def view_security_event(
    request: Request,
    caller: MayRead,
    id: UUID,  # noqa: A002 - the path's name
) -> SecurityEventResponse:
    """One security event."""
    access: AccessControl = request.app.state.access
    async with access.database.reading() as session:
        return SecurityEventResponse.of(await store.get(session, str(id)))


@router.put("/events/{id}/resolve")
async def resolve_security_event(
    request: Request,
    caller: MayResolve,
    id: UUID,  # noqa: A002 - the path's name
    body: ResolveSecurityEventRequest,
) -> SecurityEventResponse:
    """Say what came of an event, once."""
    access: AccessControl = request.app.state.access
    async with access.database.transaction() as session:
        resolved = await commands.resolve(session, caller, str(id), notes=body.notes)
    request.state.recorded = True
    return SecurityEventResponse.of(resolved)


@router.get("/overview")
async def view_security_overview(
    request: Request,
    caller: MayOverlook,
    hours: Annotated[int, Query(ge=1, le=MOST_OVERVIEW_HOURS, description="How far back, at most a week.")] = 24,
) -> SecurityOverviewResponse:
    """What a dashboard shows: what is open, and what was raised lately, by type, hour, address and user."""
    access: AccessControl = request.app.state.access
    async with access.database.reading() as session:
        found = await store.overview(session, hours=hours)
        latest, _ = await store.search(session, store.Search(), before=None, skip=0, limit=MOST_LATEST)
    return SecurityOverviewResponse.of(found, latest, hours=hours)
