"""Bodies about roles."""

from datetime import datetime
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field

from libs.common.identity import Level
from services.gateway.features.roles.models import Description, RolePermissions, StoredRole


class PutRoleRequest(BaseModel):
    """A custom role as it shall be."""

    model_config = ConfigDict(extra="forbid")

    permissions: RolePermissions
    level: Annotated[Level, Field(description="What the 403 of its holders and their tokens call it.")] = Level.READ
    description: Description = ""


class RoleResponse(BaseModel):
    """A role: its level and everything that it may do."""

    name: str
    level: Level
    permissions: list[str]
    description: str
    is_builtin: bool
    version: int
    created_by: str | None
    created_at: datetime | None
    updated_at: datetime | None

    @classmethod
    def of(cls, role: StoredRole) -> Self:
        """From a built-in or a stored role."""
        return cls(
            name=role.name,
            level=role.rights.level,
            permissions=sorted(role.rights.permissions),
            description=role.description,
            is_builtin=role.is_builtin,
            version=role.version,
            created_by=role.created_by,
            created_at=role.created_at,
            updated_at=role.updated_at,
        )


class RolesResponse(BaseModel):
    """All roles: the built-in ones, most powerful first, then the custom ones by name."""

    roles: list[RoleResponse]
    total: int
    total_is_exact: bool
    skip: int
    limit: int
    next_cursor: str | None
