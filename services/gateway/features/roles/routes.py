"""The roles and what each may do."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path

from libs.common.errors import NotFound
from libs.common.identity import Caller
from libs.common.web.paging import Paging
from services.gateway.access.guard import GuardedRoute, requires
from services.gateway.access.permissions import Role
from services.gateway.features.roles.schemas import RoleResponse, RolesResponse

router = APIRouter(prefix="/roles", tags=["roles"], route_class=GuardedRoute)

MayList = Annotated[Caller, Depends(requires("roles:read", action="list_roles"))]
MayRead = Annotated[Caller, Depends(requires("roles:read", action="view_role", target="role/{name}"))]
RoleName = Annotated[str, Path(pattern=r"^[a-z][a-z0-9_]{0,63}$")]


@router.get("")
async def list_roles(caller: MayList, page: Paging) -> RolesResponse:
    """All roles, most powerful first."""
    roles = [RoleResponse.of(role) for role in Role]
    return RolesResponse(
        roles=roles[page.skip : page.skip + page.limit],
        total=len(roles),
        total_is_exact=True,
        skip=page.skip,
        limit=page.limit,
        next_cursor=None,
    )


@router.get("/{name}")
async def view_role(caller: MayRead, name: RoleName) -> RoleResponse:
    """One role."""
    if name not in set(Role):
        raise NotFound(f"no role {name}", code="role_not_found")
    return RoleResponse.of(Role(name))
