"""A role as it is listed, and what a custom role must look like."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints

from libs.common.errors import Conflict, NotFound
from services.gateway.access.permissions import NAMEABLE, Rights, Role, builtin_rights

MOST_ROLES = 100
"""Custom roles there may be: a list that people still overlook."""


def _checked_permission(value: str) -> str:
    if value not in NAMEABLE:
        raise ValueError("no such permission; a custom role holds named ones and <resource>:*, not *")
    return value


RolePermission = Annotated[str, StringConstraints(max_length=64), AfterValidator(_checked_permission)]
RolePermissions = Annotated[list[RolePermission], Field(max_length=len(NAMEABLE))]
Description = Annotated[str, StringConstraints(max_length=500, pattern=r"^[^\x00-\x08\x0b-\x1f\x7f]*$")]


@dataclass(frozen=True, slots=True)
class StoredRole:
    """A role, built-in or custom. The built-in ones are part of the program: version 1, made by nobody."""

    name: str
    rights: Rights
    description: str
    is_builtin: bool
    version: int
    created_by: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None


_DESCRIPTIONS = {
    Role.SUPER_ADMIN: "Everything.",
    Role.ADMIN: "The platform's day: accounts, settings, connectors, billing; not roles and secrets.",
    Role.MODERATOR: "Content, notifications and alerts.",
    Role.VIEWER: "Reads; changes nothing.",
}


def builtin(name: str) -> StoredRole | None:
    """A built-in role; None for every other name."""
    rights = builtin_rights(name)
    if rights is None:
        return None
    return StoredRole(name=name, rights=rights, description=_DESCRIPTIONS[Role(name)], is_builtin=True, version=1)


def refuse_builtin(name: str) -> None:
    """Raise 409 `builtin_role` for a role that is part of the program."""
    if builtin_rights(name) is not None:
        raise Conflict(f"{name} is built in and stays as it is; make a role of another name", code="builtin_role")


def role_not_found(name: str) -> NotFound:
    """The 404 of a role; its name was checked and may be repeated."""
    return NotFound(f"no role {name}", code="role_not_found")
