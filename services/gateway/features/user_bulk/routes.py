"""One operation on many accounts."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request

from libs.common.identity import Caller
from services.gateway.access.guard import requires
from services.gateway.access.sessions import AccessControl
from services.gateway.features.route import AdminRoute
from services.gateway.features.user_bulk import commands
from services.gateway.features.user_bulk.schemas import BulkUsersRequest, BulkUsersResponse

router = APIRouter(prefix="/users", tags=["users"], route_class=AdminRoute)

MayChange = Annotated[Caller, Depends(requires("users:write", action="bulk_change_users"))]


@router.post("/bulk", status_code=207)
async def bulk_change_users(request: Request, caller: MayChange, body: BulkUsersRequest) -> BulkUsersResponse:
    """Switch on or off, give a role to, or end the sessions of at most 500 accounts. Each is decided by the rules of
    the same thing done to it alone; a refused one leaves the others alone. `revoke_sessions` needs `sessions:revoke`."""
    access: AccessControl = request.app.state.access
    async with access.database.transaction() as session:
        outcomes = await commands.bulk_change_users(session, caller, body.asked())
    request.state.recorded = True
    if any(one.is_changed for one in outcomes):
        access.evict()
    return BulkUsersResponse.of(outcomes)
