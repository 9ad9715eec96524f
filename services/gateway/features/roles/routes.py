"""The roles and what each may do."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from libs.common.identity import Caller
from libs.common.web.paging import Paging, decode_cursor, encode_cursor
from services.gateway.access.guard import FRESH_SECONDS, requires
from services.gateway.access.permissions import Rights, Role
from services.gateway.access.sessions import AccessControl
from services.gateway.features.preconditions import (
    creates_only,
    expected_version,
    is_unchanged,
    require_confirmation,
)
from services.gateway.features.roles import commands, store
from services.gateway.features.roles.models import builtin, refuse_builtin, role_not_found
from services.gateway.features.roles.schemas import PutRoleRequest, RoleResponse, RolesResponse
from services.gateway.features.route import AdminRoute
from services.gateway.features.schemas import NOT_MODIFIED

router = APIRouter(prefix="/roles", tags=["roles"], route_class=AdminRoute)

MayList = Annotated[Caller, Depends(requires("roles:read", action="list_roles"))]
MayRead = Annotated[Caller, Depends(requires("roles:read", action="view_role", target="role/{name}"))]
MayWrite = Annotated[
    Caller,
    Depends(requires("roles:write", action="change_role", target="role/{name}", fresh_seconds=FRESH_SECONDS)),
]
MayDelete = Annotated[Caller, Depends(requires("roles:write", action="delete_role", target="role/{name}"))]
RoleName = Annotated[str, Path(pattern=r"^[a-z][a-z0-9_]{0,63}$")]


@router.get("")
async def list_roles(request: Request, caller: MayList, page: Paging) -> RolesResponse:
    """All roles: the built-in ones, most powerful first, then the custom ones by name."""
    access: AccessControl = request.app.state.access
    skip = page.skip
    if page.cursor is not None:
        skip = int(decode_cursor(access.cursors, page.cursor, resource="roles", filters={})[0] or 0)
    async with access.database.reading() as session:
        custom = await store.load_all(session)
    roles = [*(found for role in Role if (found := builtin(role)) is not None), *custom]
    more = len(roles) > skip + page.limit
    return RolesResponse(
        roles=[RoleResponse.of(role) for role in roles[skip : skip + page.limit]],
        total=len(roles),
        total_is_exact=True,
        skip=page.skip,
        limit=page.limit,
        next_cursor=(
            encode_cursor(access.cursors, [skip + page.limit], resource="roles", filters={}) if more else None
        ),
    )


@router.get("/{name}", response_model=RoleResponse, responses=NOT_MODIFIED)
async def view_role(request: Request, response: Response, caller: MayRead, name: RoleName) -> RoleResponse | Response:
    """One role, with its version as `ETag`."""
    access: AccessControl = request.app.state.access
    role = builtin(name)
    if role is None:
        async with access.database.reading() as session:
            role = await store.find(session, name)
    if role is None:
        raise role_not_found(name)
    if is_unchanged(request, role.version):
        return Response(status_code=304, headers={"ETag": f'"{role.version}"'})
    response.headers["ETag"] = f'"{role.version}"'
    return RoleResponse.of(role)


@router.put("/{name}", responses={201: {"model": RoleResponse, "description": "The role is new."}})
async def change_role(
    *, request: Request, response: Response, caller: MayWrite, name: RoleName, body: PutRoleRequest
) -> RoleResponse:
    """Make a custom role, or make it another one: it holds for everybody who has it, from their next request on.

    Nobody writes into a role, or takes out of it, what they do not hold. Honours `If-Match`, and `If-None-Match: *`
    to make it only."""
    access: AccessControl = request.app.state.access
    async with access.database.transaction() as session:
        role, is_new, is_changed = await commands.put_role(
            session,
            caller,
            name,
            Rights(body.level, frozenset(body.permissions)),
            description=body.description,
            version=expected_version(request),
            creates_only=creates_only(request),
        )
    request.state.recorded = is_changed
    access.evict(role=name)
    response.headers["ETag"] = f'"{role.version}"'
    if is_new:
        response.status_code = 201
        response.headers["Location"] = f"/api/v1/admin/roles/{name}"
    return RoleResponse.of(role)


@router.delete("/{name}", status_code=204)
async def delete_role(
    *,
    request: Request,
    caller: MayDelete,
    name: RoleName,
    confirm: Annotated[bool | None, Query(description="Must be true.")] = None,
) -> Response:
    """Delete a custom role that nobody has (409 `role_in_use`); needs `?confirm=true`."""
    refuse_builtin(name)
    require_confirmation(confirm)
    access: AccessControl = request.app.state.access
    async with access.database.transaction() as session:
        await commands.delete_role(session, caller, name, version=expected_version(request))
    request.state.recorded = True
    access.evict(role=name)
    return Response(status_code=204)
