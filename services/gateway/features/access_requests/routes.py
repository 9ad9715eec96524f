"""Why somebody may or may not, and permissions that are asked for and granted for a time."""

from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response

from libs.common.identity import Caller
from libs.common.web.paging import counted, decode_cursor, encode_cursor
from libs.common.web.query import query_of
from services.gateway.access.grants import permission_required
from services.gateway.access.guard import FRESH_SECONDS, any_admin, requires
from services.gateway.access.sessions import AccessControl
from services.gateway.features.access_requests import commands, store
from services.gateway.features.access_requests.models import (
    MOST_NAMED,
    AccessRequest,
    Permission,
    Standing,
    explain,
)
from services.gateway.features.access_requests.schemas import (
    AccessRequestResponse,
    AccessRequestsQuery,
    AccessRequestsResponse,
    ApproveAccessRequest,
    AskForAccessRequest,
    ExplanationResponse,
    GrantorResponse,
    ReasonResponse,
    RejectAccessRequest,
)
from services.gateway.features.route import AdminRoute
from services.gateway.features.users import store as users_store

router = APIRouter(prefix="/access", tags=["access"], route_class=AdminRoute)

TARGET = "access_request/{id}"
MayExplain = Annotated[Caller, Depends(any_admin(action="explain_access"))]
MayList = Annotated[Caller, Depends(any_admin(action="list_access_requests"))]
MayAsk = Annotated[Caller, Depends(any_admin(action="request_access"))]
MayRead = Annotated[Caller, Depends(any_admin(action="view_access_request", target=TARGET))]
MayTakeBack = Annotated[Caller, Depends(any_admin(action="end_access", target=TARGET))]
MayApprove = Annotated[
    Caller,
    Depends(requires(commands.APPROVES, action="approve_access", target=TARGET, fresh_seconds=FRESH_SECONDS)),
]
MayReject = Annotated[Caller, Depends(requires(commands.APPROVES, action="reject_access", target=TARGET))]


@router.get("/explain")
async def explain_access(
    request: Request,
    caller: MayExplain,
    permission: Annotated[Permission, Query(description="Such as `settings:write`.")],
    user_id: Annotated[
        UUID | None, Query(description="Whose; one's own without it. Others' need `roles:read`.")
    ] = None,
) -> ExplanationResponse:
    """Whether an administrator holds a permission: which role or grant gives it, or lacks it, and who could grant it."""
    access: AccessControl = request.app.state.access
    whose = str(user_id) if user_id is not None else caller.actor.id
    request.state.target = f"user/{whose}"
    if whose != caller.actor.id and not caller.actor.may("roles:read"):
        raise permission_required("roles:read", caller.actor)
    async with access.database.reading() as session:
        user = await users_store.get(session, whose)
        grants = tuple(await store.load_live(session, whose))
        standing = Standing(is_active=user.is_active, role=user.role, rights=user.rights, grants=grants)
        found = explain(standing, permission)
        people: list[store.Person] = []
        if user.is_active and not found.is_granted:
            people = await store.load_grantors(session, permission, but=whose, most=MOST_NAMED)
    return ExplanationResponse(
        user_id=whose,
        permission=permission,
        granted=found.is_granted,
        by=[ReasonResponse.of(one) for one in found.by],
        missing=[ReasonResponse.of(one) for one in found.missing],
        who_can_grant=[GrantorResponse(user_id=one.id, name=one.name, role=one.role) for one in people],
    )


@router.get("/requests")
async def list_access_requests(
    request: Request, caller: MayList, query: Annotated[AccessRequestsQuery, Depends(query_of(AccessRequestsQuery))]
) -> AccessRequestsResponse:
    """Requests, newest first: one's own, or everybody's for those who hold `roles:write`."""
    access: AccessControl = request.app.state.access
    page = query.page()
    whose = (query.user_id or "").lower() or None if _sees_all(caller) else caller.actor.id
    filters, subject = query.named(), "all" if _sees_all(caller) else caller.actor.id
    before = None
    if page.cursor is not None:
        before = str(
            decode_cursor(access.cursors, page.cursor, resource="access_requests", filters=filters, subject=subject)[0]
        )
    sought = store.Search(user_id=whose, permission=query.permission, state=query.state)
    async with access.database.reading() as session:
        found, count = await store.search(session, sought, before=before, skip=page.skip, limit=page.limit + 1)
    shown, now = found[: page.limit], datetime.now(UTC)
    next_cursor = None
    if len(found) > page.limit:
        next_cursor = encode_cursor(
            access.cursors, [shown[-1].id], resource="access_requests", filters=filters, subject=subject
        )
    total, is_exact = counted(count)
    return AccessRequestsResponse(
        requests=[AccessRequestResponse.of(one, now=now) for one in shown],
        total=total,
        total_is_exact=is_exact,
        skip=page.skip,
        limit=page.limit,
        next_cursor=next_cursor,
    )


@router.post("/requests", status_code=201)
async def request_access(
    request: Request, response: Response, caller: MayAsk, body: AskForAccessRequest
) -> AccessRequestResponse:
    """Ask for a permission that one's role lacks. Who could grant it is told by `/access/explain`."""
    access: AccessControl = request.app.state.access
    async with access.database.transaction() as session:
        made = await commands.request_access(session, caller, permission=body.permission, reason=body.reason)
    request.state.recorded = True
    response.headers["Location"] = f"/api/v1/admin/access/requests/{made.id}"
    return _answer(made)


@router.get("/requests/{id}")
async def view_access_request(
    request: Request,
    caller: MayRead,
    id: UUID,  # noqa: A002 - the path's name
) -> AccessRequestResponse:
    """One request: one's own, or anybody's for those who hold `roles:write`."""
    access: AccessControl = request.app.state.access
    async with access.database.reading() as session:
        found = await store.get(session, str(id), of_user=None if _sees_all(caller) else caller.actor.id)
    return _answer(found)


@router.post("/requests/{id}/approve")
async def approve_access(
    request: Request,
    caller: MayApprove,
    id: UUID,  # noqa: A002 - the path's name
    body: ApproveAccessRequest,
) -> AccessRequestResponse:
    """Grant what somebody else asked for, until a moment within 30 days; it ends then by itself. The approver's role
    must hold the permission."""
    access: AccessControl = request.app.state.access
    async with access.database.transaction() as session:
        granted = await commands.approve(session, caller, str(id), until=body.until)
    return _decided(request, access, granted)


@router.post("/requests/{id}/reject")
async def reject_access(
    request: Request,
    caller: MayReject,
    id: UUID,  # noqa: A002 - the path's name
    body: RejectAccessRequest,
) -> AccessRequestResponse:
    """Decline what somebody else asked for, with a reason that they read."""
    access: AccessControl = request.app.state.access
    async with access.database.transaction() as session:
        declined = await commands.reject(session, caller, str(id), reason=body.reason)
    return _decided(request, access, declined)


@router.delete("/requests/{id}")
async def end_access(
    request: Request,
    caller: MayTakeBack,
    id: UUID,  # noqa: A002 - the path's name
    confirm: Annotated[bool | None, Query()] = None,
) -> AccessRequestResponse:
    """Withdraw one's own request, or end a grant before its time: one's own, or anybody's with `roles:write`."""
    access: AccessControl = request.app.state.access
    async with access.database.transaction() as session:
        ended = await commands.take_back(session, caller, str(id))
    return _decided(request, access, ended)


def _sees_all(caller: Caller) -> bool:
    return caller.actor.may(commands.APPROVES)


def _decided(request: Request, access: AccessControl, found: AccessRequest) -> AccessRequestResponse:
    request.state.recorded = True
    access.evict(user_id=found.user_id)
    return _answer(found)


def _answer(found: AccessRequest) -> AccessRequestResponse:
    return AccessRequestResponse.of(found, now=datetime.now(UTC))
