"""Searches of the audit log that administrators keep, for themselves or for all."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response

from libs.common.broker.topology import AUDIT_COMMANDS
from libs.common.events.saved_searches import DeleteSavedSearch, SaveSearch
from libs.common.identity import Caller
from libs.common.web.query import query_of
from services.gateway.access.guard import requires
from services.gateway.features.answers import run_command
from services.gateway.features.route import AdminRoute
from services.gateway.features.saved_searches.schemas import (
    SavedSearchesResponse,
    SavedSearchResponse,
    SaveSearchRequest,
)
from services.gateway.features.schemas import ListQuery, answers, outcomes
from services.gateway.upstream.forward import forward

PATH = "/internal/audit/saved-searches"
TARGET = "saved_search/{search_id}"

router = APIRouter(prefix="/audit/saved-searches", tags=["audit"], route_class=AdminRoute)

MayList = Annotated[Caller, Depends(requires("audit:read", action="list_saved_searches"))]
MaySave = Annotated[Caller, Depends(requires("audit:read", action="save_search"))]
MayView = Annotated[Caller, Depends(requires("audit:read", action="view_saved_search", target=TARGET))]
MayDelete = Annotated[Caller, Depends(requires("audit:read", action="delete_saved_search", target=TARGET))]


@router.get("", responses=answers(SavedSearchesResponse))
async def list_saved_searches(
    request: Request, caller: MayList, query: Annotated[ListQuery, Depends(query_of(ListQuery))]
) -> Response:
    """Your own and those that others share, newest first. The list member is `saved_searches`."""
    return await forward(request, caller, service="audit", path=PATH)


@router.post("", status_code=201, responses=outcomes(SavedSearchResponse, 201))
async def save_search(request: Request, caller: MaySave, body: SaveSearchRequest) -> Response:
    """Keep filters under a name. 409 `saved_search_exists` when you keep one of this name."""
    command = SaveSearch(name=body.name, filters=body.filters, is_shared=body.is_shared, origin=caller.origin)
    subject = f"saved_searches/{caller.actor.id}"
    return await run_command(request, caller, command, subject=subject, queue=AUDIT_COMMANDS)


@router.get("/{search_id}", responses=answers(SavedSearchResponse))
async def view_saved_search(request: Request, caller: MayView, search_id: UUID) -> Response:
    """One search, yours or shared."""
    return await forward(request, caller, service="audit", path=f"{PATH}/{search_id}")


@router.delete("/{search_id}", status_code=204, responses=outcomes(None))
async def delete_saved_search(request: Request, caller: MayDelete, search_id: UUID) -> Response:
    """Give up one of your own; a shared one of somebody else is 403 `not_owner`."""
    command = DeleteSavedSearch(saved_search_id=str(search_id), origin=caller.origin)
    subject = f"saved_search/{search_id}"
    return await run_command(request, caller, command, subject=subject, queue=AUDIT_COMMANDS)
