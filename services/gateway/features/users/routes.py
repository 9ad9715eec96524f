"""The administrators' accounts."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response

from libs.common.identity import Caller, Level
from libs.common.web.paging import counted, decode_cursor, encode_cursor
from libs.common.web.query import query_of
from services.gateway.access import store as access_store
from services.gateway.access.guard import demand_fresh, requires
from services.gateway.access.sessions import AccessControl
from services.gateway.features.approvals.models import Waiting
from services.gateway.features.approvals.routes import answer_waiting
from services.gateway.features.approvals.schemas import AWAITS_APPROVAL
from services.gateway.features.preconditions import expected_version, is_unchanged
from services.gateway.features.route import AdminRoute
from services.gateway.features.schemas import NOT_MODIFIED
from services.gateway.features.users import store
from services.gateway.features.users.commands import accounts
from services.gateway.features.users.commands.rights import unknown_role
from services.gateway.features.users.models import NewUser, User
from services.gateway.features.users.schemas import (
    ChangeRoleRequest,
    CreateUserRequest,
    UpdateUserRequest,
    UserResponse,
    UsersQuery,
    UsersResponse,
)

router = APIRouter(prefix="/users", tags=["users"], route_class=AdminRoute)

MayList = Annotated[Caller, Depends(requires("users:read", action="list_users"))]
MayRead = Annotated[Caller, Depends(requires("users:read", action="view_user", target="user/{user_id}"))]
MayCreate = Annotated[Caller, Depends(requires("users:write", action="create_user"))]
MayUpdate = Annotated[Caller, Depends(requires("users:write", action="update_user", target="user/{user_id}"))]
MayChangeRole = Annotated[Caller, Depends(requires("users:write", action="change_user_role", target="user/{user_id}"))]


@router.get("")
async def list_users(
    request: Request, caller: MayList, query: Annotated[UsersQuery, Depends(query_of(UsersQuery))]
) -> UsersResponse:
    """Accounts, newest first. `q` is another name of `search`; the dates are of an account's creation."""
    access: AccessControl = request.app.state.access
    page, sought, filters = query.page(), query.sought(), query.named()
    before = None
    if page.cursor is not None:
        before = str(decode_cursor(access.cursors, page.cursor, resource="users", filters=filters)[0])
    async with access.database.reading() as session:
        if sought.role is not None and await access_store.find_rights(session, sought.role) is None:
            raise unknown_role(sought.role, where="query")
        users, count = await store.search(session, sought, before=before, skip=page.skip, limit=page.limit + 1)
    shown = users[: page.limit]
    more = len(users) > page.limit
    total, is_exact = counted(count)
    return UsersResponse(
        users=[UserResponse.of(user) for user in shown],
        total=total,
        total_is_exact=is_exact,
        skip=page.skip,
        limit=page.limit,
        next_cursor=encode_cursor(access.cursors, [shown[-1].id], resource="users", filters=filters) if more else None,
    )


@router.post("", status_code=201, response_model=UserResponse, responses=AWAITS_APPROVAL)
async def create_user(
    request: Request, response: Response, caller: MayCreate, body: CreateUserRequest
) -> UserResponse | Response:
    """A new account with a role up to one's own. Without a password it waits for its activation by the link that is
    sent to its address.

    A role of the level `admin` needs a proof of who asks that is at most five minutes old (`/auth/step-up`). A
    `super_admin` needs the approval of another one, where there is another one: 202, and there is no account until then.
    """
    access: AccessControl = request.app.state.access
    await demand_fresh_for(request, body.role)
    password = body.password.get_secret_value() if body.password is not None else None
    if password is not None:
        await access.password_policy.check(password, email=body.email, name=body.name, member="password")
    password_hash = await access.passwords.hash(password) if password is not None else None
    new = NewUser(email=body.email, name=body.name, role=body.role, password_hash=password_hash)
    async with access.database.transaction() as session:
        made = await accounts.create_user(session, caller, new, request.app.state.links, request.app.state.approvals)
    if isinstance(made, Waiting):
        return answer_waiting(request, made)
    request.state.recorded = True
    response.headers["Location"] = f"/api/v1/admin/users/{made.id}"
    return _answer(response, made)


@router.get("/{user_id}", response_model=UserResponse, responses=NOT_MODIFIED)
async def view_user(request: Request, response: Response, caller: MayRead, user_id: UUID) -> UserResponse | Response:
    """One account, with its version as `ETag`."""
    access: AccessControl = request.app.state.access
    async with access.database.reading() as session:
        user = await store.get(session, str(user_id))
    if is_unchanged(request, user.version):
        return Response(status_code=304, headers={"ETag": f'"{user.version}"'})
    return _answer(response, user)


@router.patch("/{user_id}", response_model=UserResponse, responses=AWAITS_APPROVAL)
async def update_user(
    *, request: Request, response: Response, caller: MayUpdate, user_id: UUID, body: UpdateUserRequest
) -> UserResponse | Response:
    """Another e-mail address or name. Honours `If-Match`. Role and status have routes of their own.

    Another super admin's address needs the approval of a second one, be it its owner: 202.
    """
    access: AccessControl = request.app.state.access
    async with access.database.transaction() as session:
        done = await accounts.update_user(
            session, caller, user_id=str(user_id), email=body.email, name=body.name, version=expected_version(request),
            four_eyes=request.app.state.approvals,
        )  # fmt: skip
    return _done(request, response, done)


@router.put("/{user_id}/role", response_model=UserResponse, responses=AWAITS_APPROVAL)
async def change_user_role(
    *,
    request: Request,
    response: Response,
    caller: MayChangeRole,
    user_id: UUID,
    body: ChangeRoleRequest,
) -> UserResponse | Response:
    """Another role, up to one's own, for somebody else. It holds from their next request on. Honours `If-Match`.

    A role of the level `admin` needs a proof of who asks that is at most five minutes old (`/auth/step-up`). `super_admin`
    needs the approval of another one, where there is another one: 202, and the role stays what it is until then.
    """
    access: AccessControl = request.app.state.access
    await demand_fresh_for(request, body.role)
    async with access.database.transaction() as session:
        done = await accounts.change_role(
            session, caller, user_id=str(user_id), role=body.role, version=expected_version(request),
            four_eyes=request.app.state.approvals,
        )  # fmt: skip
    return _done(request, response, done)


async def demand_fresh_for(request: Request, role: str) -> None:
    """Raise 401 `step_up_required` for a role of the level `admin`, unless who calls proved lately who they are."""
    access: AccessControl = request.app.state.access
    async with access.database.reading() as session:
        rights = await access_store.find_rights(session, role)
    if rights is not None and rights.level is Level.ADMIN:
        demand_fresh(request)


def _done(request: Request, response: Response, done: tuple[User, bool] | Waiting) -> UserResponse | Response:
    if isinstance(done, Waiting):
        return answer_waiting(request, done)
    user, request.state.recorded = done
    access: AccessControl = request.app.state.access
    access.evict(user_id=user.id)
    return _answer(response, user)


def _answer(response: Response, user: User) -> UserResponse:
    response.headers["ETag"] = f'"{user.version}"'
    return UserResponse.of(user)
