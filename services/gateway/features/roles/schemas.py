"""Bodies about roles."""

from typing import Self

from pydantic import BaseModel

from libs.common.identity import Level
from services.gateway.access.permissions import Role, level_of, permissions_of


class RoleResponse(BaseModel):
    """A role: its level and everything that it may do."""

    name: str
    level: Level
    permissions: list[str]
    is_builtin: bool

    @classmethod
    def of(cls, role: Role) -> Self:
        """A built-in role."""
        return cls(name=role, level=level_of(role), permissions=sorted(permissions_of(role)), is_builtin=True)


class RolesResponse(BaseModel):
    """All roles, most powerful first."""

    roles: list[RoleResponse]
    total: int
    total_is_exact: bool
    skip: int
    limit: int
    next_cursor: str | None
