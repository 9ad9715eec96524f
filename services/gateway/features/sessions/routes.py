"""Sessions: one's own for everybody, all of them for those who may."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response

from libs.common.errors import Invalid
from libs.common.identity import ActorType, Caller
from libs.common.web.paging import Page, Paging, counted, decode_cursor, encode_cursor
from services.gateway.access.grants import permission_required
from services.gateway.access.guard import any_admin, requires_unless_own
from services.gateway.access.sessions import AccessControl
from services.gateway.features.route import AdminRoute
from services.gateway.features.sessions import commands, store
from services.gateway.features.sessions.schemas import SessionResponse, SessionsResponse
from services.gateway.features.users import store as users_store

router = APIRouter(tags=["sessions"], route_class=AdminRoute)

READ = "sessions:read"
_OF_USER = "user/{user_id}"
MayList = Annotated[Caller, Depends(any_admin(action="list_sessions", clients_need=READ))]
MayRevoke = Annotated[
    Caller,
    Depends(any_admin(action="revoke_session", target="session/{session_id}", clients_need=commands.REVOKE)),
]
MayListOfUser = Annotated[
    Caller, Depends(requires_unless_own(READ, action="list_user_sessions", target=_OF_USER, owner="user_id"))
]
MayRevokeOfUser = Annotated[
    Caller,
    Depends(requires_unless_own(commands.REVOKE, action="revoke_user_sessions", target=_OF_USER, owner="user_id")),
]
IsActive = Annotated[bool | None, Query(description="Only those whose tokens work now, or only the others.")]


@router.get("/sessions")
async def list_sessions(
    *,
    request: Request,
    caller: MayList,
    page: Paging,
    user_id: Annotated[UUID | None, Query(description="Whose; without it one's own.")] = None,
    all: Annotated[bool, Query(description="Everybody's.")] = False,  # noqa: A002 - the parameter's name
    is_active: IsActive = None,
) -> SessionsResponse:
    """Sessions, newest first: one's own, or with `sessions:read` somebody's (`user_id`) or everybody's (`all=true`).

    A client has none of its own and is shown everybody's.
    """
    actor = caller.actor
    if all and user_id is not None:
        raise Invalid("user_id and all=true cannot be combined", code="conflicting_filters")
    owner: str | None = str(user_id) if user_id is not None else actor.id
    if all or (user_id is None and actor.type is not ActorType.ADMIN):
        owner = None
    if owner != actor.id:
        request.state.permission = READ
        if not actor.may(READ):
            raise permission_required(READ, actor)
    return await _page(request, caller, store.Search(user_id=owner, is_active=is_active), page)


@router.delete("/sessions/{session_id}", status_code=204)
async def revoke_session(request: Request, caller: MayRevoke, session_id: UUID) -> Response:
    """End one session: one's own, or with `sessions:revoke` anybody's up to one's own role. Its tokens stop at once."""
    access: AccessControl = request.app.state.access
    async with access.database.transaction() as session:
        request_ended_it = await commands.revoke_session(session, caller, str(session_id))
    request.state.recorded = request_ended_it
    access.evict(session_id=str(session_id))
    return Response(status_code=204)


@router.get("/users/{user_id}/sessions")
async def list_user_sessions(
    request: Request, caller: MayListOfUser, user_id: UUID, page: Paging, is_active: IsActive = None
) -> SessionsResponse:
    """One account's sessions, newest first."""
    access: AccessControl = request.app.state.access
    async with access.database.reading() as session:
        user = await users_store.get(session, str(user_id))
    return await _page(request, caller, store.Search(user_id=user.id, is_active=is_active), page)


@router.delete("/users/{user_id}/sessions", status_code=204)
async def revoke_user_sessions(
    request: Request,
    caller: MayRevokeOfUser,
    user_id: UUID,
    spare_current: Annotated[bool, Query(description="All but the session of this request.")] = False,
) -> Response:
    """End all sessions of an account whose role is not above one's own."""
    access: AccessControl = request.app.state.access
    spared = caller.actor.session_id if spare_current else None
    async with access.database.transaction() as session:
        ended = await commands.revoke_sessions_of(session, caller, str(user_id), spared=spared)
    request.state.recorded = ended > 0
    access.evict(user_id=str(user_id))
    return Response(status_code=204)


async def _page(request: Request, caller: Caller, sought: store.Search, page: Page) -> SessionsResponse:
    access: AccessControl = request.app.state.access
    filters = {"user_id": sought.user_id, "is_active": sought.is_active}
    before = None
    if page.cursor is not None:
        before = str(decode_cursor(access.cursors, page.cursor, resource="sessions", filters=filters)[0])
    async with access.database.reading() as session:
        found, count = await store.search(
            session, sought, lifetimes=access.rules.lifetimes, before=before, skip=page.skip, limit=page.limit + 1
        )
    shown = found[: page.limit]
    more = len(found) > page.limit
    total, is_exact = counted(count)
    return SessionsResponse(
        sessions=[SessionResponse.of(one, current=caller.actor.session_id) for one in shown],
        total=total,
        total_is_exact=is_exact,
        skip=page.skip,
        limit=page.limit,
        next_cursor=encode_cursor(access.cursors, [shown[-1].id], resource="sessions", filters=filters)
        if more
        else None,
    )
