"""Switching administrators' accounts on and off, deleting and erasing them."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response

from libs.common.identity import Caller
from services.gateway.access.guard import requires
from services.gateway.access.sessions import AccessControl
from services.gateway.features.approvals.models import Waiting
from services.gateway.features.approvals.routes import answer_waiting
from services.gateway.features.approvals.schemas import AWAITS_APPROVAL
from services.gateway.features.lifecycle import commands
from services.gateway.features.lifecycle.schemas import ChangeStatusRequest
from services.gateway.features.preconditions import expected_version, require_confirmation
from services.gateway.features.route import AdminRoute
from services.gateway.features.users.schemas import UserResponse

router = APIRouter(prefix="/users", tags=["users"], route_class=AdminRoute)

MayChange = Annotated[Caller, Depends(requires("users:write", action="change_user_status", target="user/{user_id}"))]
MayDelete = Annotated[Caller, Depends(requires("users:delete", action="delete_user", target="user/{user_id}"))]


@router.put("/{user_id}/status", response_model=UserResponse, responses=AWAITS_APPROVAL)
async def change_user_status(
    *, request: Request, response: Response, caller: MayChange, user_id: UUID, body: ChangeStatusRequest
) -> UserResponse | Response:
    """Whether an account may be used. Switched off, its sessions end at once. Honours `If-Match`.

    To switch a super admin on again needs the approval of another one, where there is another one: 202.
    """
    access: AccessControl = request.app.state.access
    async with access.database.transaction() as session:
        done = await commands.change_status(
            session,
            caller,
            user_id=str(user_id),
            is_active=body.is_active,
            reason=body.reason,
            version=expected_version(request),
            four_eyes=request.app.state.approvals,
        )
    if isinstance(done, Waiting):
        return answer_waiting(request, done)
    user, request.state.recorded = done
    access.evict(user_id=user.id)
    response.headers["ETag"] = f'"{user.version}"'
    return UserResponse.of(user)


@router.delete("/{user_id}", status_code=204)
async def delete_user(
    *,
    request: Request,
    caller: MayDelete,
    user_id: UUID,
    confirm: Annotated[bool | None, Query(description="Must be true.")] = None,
    erase: Annotated[bool, Query(description="Erase the person's data too; this cannot be undone.")] = False,
) -> Response:
    """Switch the account off and end its sessions; needs `?confirm=true`. With `?erase=true` name, e-mail address,
    password hash and the addresses of its sessions are erased; its id stays, so that the audit log keeps its meaning."""
    require_confirmation(confirm)
    access: AccessControl = request.app.state.access
    async with access.database.transaction() as session:
        is_changed = await commands.delete_user(
            session, caller, user_id=str(user_id), erases=erase, version=expected_version(request)
        )
    request.state.recorded = is_changed
    access.evict(user_id=str(user_id))
    return Response(status_code=204)
