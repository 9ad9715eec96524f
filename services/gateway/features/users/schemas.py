"""Bodies about administrators' accounts."""

from datetime import datetime
from typing import Self

from pydantic import BaseModel, ConfigDict

from libs.common.identity import Level
from services.gateway.access.permissions import Role, level_of, permissions_of
from services.gateway.features.users.models import Email, NewPassword, User, UserName


class CreateUserRequest(BaseModel):
    """A new account. Without a password it waits for its activation."""

    model_config = ConfigDict(extra="forbid")

    email: Email
    name: UserName
    role: Role
    password: NewPassword | None = None


class ChangeRoleRequest(BaseModel):
    """The role an account shall have."""

    model_config = ConfigDict(extra="forbid")

    role: Role


class UserResponse(BaseModel):
    """An account as other administrators see it."""

    id: str
    email: str
    name: str
    role: str
    permission_level: Level
    is_active: bool
    awaits_activation: bool
    version: int
    created_by: str | None
    created_at: datetime
    updated_at: datetime
    last_login_at: datetime | None

    @classmethod
    def of(cls, user: User) -> Self:
        """From the stored account."""
        return cls.model_validate(user_fields(user))


class AdminResponse(UserResponse):
    """An account as its owner sees it, with everything it may do."""

    permissions: list[str]

    @classmethod
    def of(cls, user: User) -> Self:
        """From the stored account."""
        return cls.model_validate({**user_fields(user), "permissions": sorted(permissions_of(user.role))})


class UsersResponse(BaseModel):
    """One page of accounts."""

    users: list[UserResponse]
    total: int
    total_is_exact: bool
    skip: int
    limit: int
    next_cursor: str | None


def user_fields(user: User) -> dict[str, object]:
    """The members that every view of an account has."""
    return {
        "id": user.id, "email": user.email, "name": user.name, "role": user.role,
        "permission_level": level_of(user.role), "is_active": user.is_active,
        "awaits_activation": user.awaits_activation, "version": user.version, "created_by": user.created_by,
        "created_at": user.created_at, "updated_at": user.updated_at, "last_login_at": user.last_login_at,
    }  # fmt: skip
