"""One operation on many accounts."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request

from libs.common.identity import Caller
from services.gateway.access.guard import requires
from services.gateway.access.sessions import AccessControl
from services.gateway.features.route import AdminRoute
from services.gateway.features.user_bulk import commands
from services.gateway.features.user_bulk.schemas import BulkUsersRequest, BulkUsersResponse
from services.gateway.features.users.routes import demand_fresh_for

router = APIRouter(prefix="/users", tags=["users"], route_class=AdminRoute)

MayChange = Annotated[Caller, Depends(requires("users:write", action="bulk_change_users"))]


@router.post("/bulk", status_code=207)
async def bulk_change_users(request: Request, caller: MayChange, body: BulkUsersRequest) -> BulkUsersResponse:
    """Switch on or off, give a role to, or end the sessions of at most 500 accounts. Each is decided by the rules of
    the same thing done to it alone; one that is refused, or waits for an approval (status 202), leaves the others alone.
    `revoke_sessions` needs `sessions:revoke`, and a role of the level `admin` a proof of the last five minutes."""
    access: AccessControl = request.app.state.access
    if body.role is not None:
        await demand_fresh_for(request, body.role)
    async with access.database.transaction() as session:
        outcomes = await commands.bulk_change_users(session, caller, body.asked(), request.app.state.approvals)
    request.state.recorded = True
    if any(one.is_changed for one in outcomes):
        access.evict()
    return BulkUsersResponse.of(outcomes)
