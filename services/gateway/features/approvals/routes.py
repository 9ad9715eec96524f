"""Changes that wait for a second pair of eyes."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response

from libs.common.identity import Caller
from libs.common.web.paging import counted, decode_cursor, encode_cursor
from libs.common.web.query import query_of
from services.gateway.access.guard import any_admin, demand_fresh
from services.gateway.access.sessions import AccessControl
from services.gateway.features.approvals import store
from services.gateway.features.approvals.commands import Approvals
from services.gateway.features.approvals.models import Approval, State, Waiting, approval_failed
from services.gateway.features.approvals.schemas import (
    ApprovalResponse,
    ApprovalsQuery,
    ApprovalsResponse,
    RejectChangeRequest,
)
from services.gateway.features.route import AdminRoute

router = APIRouter(prefix="/approvals", tags=["approvals"], route_class=AdminRoute)

PATH = "/api/v1/admin/approvals"
TARGET = "approval/{id}"
# Which permission it takes is the change's to say, so it is asked for below the guard.
MayList = Annotated[Caller, Depends(any_admin(action="list_approvals"))]
MayRead = Annotated[Caller, Depends(any_admin(action="view_approval", target=TARGET))]
MayApprove = Annotated[Caller, Depends(any_admin(action="approve_change", target=TARGET))]
MayReject = Annotated[Caller, Depends(any_admin(action="reject_change", target=TARGET))]
MayWithdraw = Annotated[Caller, Depends(any_admin(action="withdraw_change", target=TARGET))]


@router.get("")
async def list_approvals(
    request: Request, caller: MayList, query: Annotated[ApprovalsQuery, Depends(query_of(ApprovalsQuery))]
) -> ApprovalsResponse:
    """Changes that need four eyes, newest first: those whose permission one holds, and one's own."""
    access: AccessControl = request.app.state.access
    approvals: Approvals = request.app.state.approvals
    page, seen = query.page(), approvals.seen_by(caller.actor)
    # What may be seen is part of what a cursor goes through.
    filters, subject = {**query.named(), "kinds": sorted(seen.kinds)}, caller.actor.id
    before = None
    if page.cursor is not None:
        before = str(
            decode_cursor(access.cursors, page.cursor, resource="approvals", filters=filters, subject=subject)[0]
        )
    async with access.database.reading() as session:
        found, count = await store.search(
            session, query.state, seen=seen, before=before, skip=page.skip, limit=page.limit + 1
        )
    shown, next_cursor = found[: page.limit], None
    if len(found) > page.limit:
        next_cursor = encode_cursor(
            access.cursors, [shown[-1].id], resource="approvals", filters=filters, subject=subject
        )
    total, is_exact = counted(count)
    return ApprovalsResponse(
        approvals=[_answer(approvals, one) for one in shown],
        total=total,
        total_is_exact=is_exact,
        skip=page.skip,
        limit=page.limit,
        next_cursor=next_cursor,
    )


@router.get("/{id}")
async def view_approval(
    request: Request,
    caller: MayRead,
    id: UUID,  # noqa: A002 - the path's name
) -> ApprovalResponse:
    """One change: one's own, or one whose permission one holds; any other is 404."""
    access: AccessControl = request.app.state.access
    approvals: Approvals = request.app.state.approvals
    async with access.database.reading() as session:
        found = await approvals.get(session, caller.actor, str(id))
    return _answer(approvals, found)


@router.post("/{id}/approve")
async def approve_change(
    request: Request,
    caller: MayApprove,
    id: UUID,  # noqa: A002 - the path's name
) -> ApprovalResponse:
    """Approve what somebody else asked for: it is made now, by the rules as they hold now for both of you.

    Needs a proof of who you are that is at most five minutes old (`/auth/step-up`). One's own is 403 `own_request`, a second
    decision 409 `approval_decided`, a late one 409 `approval_expired`; a change that can no longer be made as it was asked
    for is 409 `approval_failed` with its `cause`, and ends so.
    """
    access: AccessControl = request.app.state.access
    approvals: Approvals = request.app.state.approvals
    async with access.database.reading() as session:
        await approvals.get(
            session, caller.actor, str(id)
        )  # Who may not see it is told so before any proof is asked for.
    demand_fresh(request)
    async with access.database.transaction() as session:
        decided = await approvals.approve(session, caller, str(id))
    request.state.recorded = True
    if decided.state is State.FAILED:
        raise approval_failed(decided)
    access.evict()
    return _answer(approvals, decided)


@router.post("/{id}/reject")
async def reject_change(
    request: Request,
    caller: MayReject,
    id: UUID,  # noqa: A002 - the path's name
    body: RejectChangeRequest,
) -> ApprovalResponse:
    """Decline what somebody else asked for, with a reason that they read. It takes what approving takes but the proof."""
    access: AccessControl = request.app.state.access
    approvals: Approvals = request.app.state.approvals
    async with access.database.transaction() as session:
        rejected = await approvals.reject(session, caller, str(id), reason=body.reason)
    request.state.recorded = True
    return _answer(approvals, rejected)


@router.delete("/{id}")
async def withdraw_change(
    request: Request,
    caller: MayWithdraw,
    id: UUID,  # noqa: A002 - the path's name
    confirm: Annotated[bool | None, Query()] = None,
) -> ApprovalResponse:
    """Take back what one asked for oneself, as long as nobody decided it."""
    access: AccessControl = request.app.state.access
    approvals: Approvals = request.app.state.approvals
    async with access.database.transaction() as session:
        withdrawn = await approvals.withdraw(session, caller, str(id))
    request.state.recorded = True
    return _answer(approvals, withdrawn)


def answer_waiting(request: Request, waiting: Waiting) -> Response:
    """202 with the approval that a change waits for, which `Location` names."""
    approvals: Approvals = request.app.state.approvals
    request.state.recorded = waiting.is_new
    return Response(
        _answer(approvals, waiting.approval).model_dump_json(),
        status_code=202,
        media_type="application/json",
        headers={"Location": f"{PATH}/{waiting.approval.id}"},
    )


def _answer(approvals: Approvals, found: Approval) -> ApprovalResponse:
    kind = approvals.kind_of(found)
    if kind is None:
        return ApprovalResponse.of(found, permission=None)
    return ApprovalResponse.of(found, permission=kind.permission, shows=kind.shows)
