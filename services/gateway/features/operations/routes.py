"""Operations: what became of a write that was answered 202."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request

from libs.common.errors import NotFound
from libs.common.identity import Caller
from services.gateway.access.guard import any_admin
from services.gateway.features.operations import store
from services.gateway.features.operations.schemas import OperationResponse
from services.gateway.features.route import AdminRoute

router = APIRouter(prefix="/operations", tags=["operations"], route_class=AdminRoute)

MayPoll = Annotated[Caller, Depends(any_admin(action="view_operation", target="operation/{operation_id}"))]


@router.get("/{operation_id}")
async def view_operation(request: Request, caller: MayPoll, operation_id: UUID) -> OperationResponse:
    """`accepted`, `completed` with its result, or `rejected` with its error. One's own; an auditor sees all."""
    async with request.app.state.database.reading() as session:
        operation = await store.get(session, str(operation_id))
    if operation.admin_id != caller.actor.id and not caller.actor.may("audit:read"):
        raise NotFound(f"no operation {operation_id}", code="operation_not_found")
    return OperationResponse.of(operation)
