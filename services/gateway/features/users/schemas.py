"""Bodies about administrators' accounts."""

from datetime import datetime
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field

from libs.common.identity import Level
from services.gateway.access.permissions import RoleName
from services.gateway.features.schemas import ListQuery, Moment
from services.gateway.features.users.models import Email, NewPassword, User, UserName
from services.gateway.features.users.store import Search


class CreateUserRequest(BaseModel):
    """A new account. Without a password it waits for its activation by a link."""

    model_config = ConfigDict(extra="forbid")

    email: Email
    name: UserName
    role: RoleName
    password: NewPassword | None = None


class UpdateUserRequest(BaseModel):
    """What an account shall be called, and where its mail goes; what is left out stays."""

    model_config = ConfigDict(extra="forbid")

    email: Annotated[Email | None, Field(description="Another address to sign in with.")] = None
    name: UserName | None = None


class ChangeRoleRequest(BaseModel):
    """The role an account shall have."""

    model_config = ConfigDict(extra="forbid")

    role: RoleName


SearchText = Annotated[str | None, Field(max_length=200, description="Part of a name or an e-mail address.")]


class UserFilters(BaseModel):
    """What is sought. `q` is another name of `search`; the dates are of an account's creation."""

    model_config = ConfigDict(extra="forbid")

    search: SearchText = None
    q: SearchText = None
    role: RoleName | None = None
    is_active: bool | None = None
    date_from: Moment | None = None
    date_to: Moment | None = None

    def sought(self) -> Search:
        """The search for it."""
        return Search(
            text=self.search or self.q, role=self.role, is_active=self.is_active, date_from=self.date_from,
            date_to=self.date_to,
        )  # fmt: skip


class UsersQuery(UserFilters, ListQuery):
    """Filters of the list."""


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
    erased_at: datetime | None

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
        return cls.model_validate({**user_fields(user), "permissions": sorted(user.rights.permissions | user.borrowed)})


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
        "permission_level": user.rights.level, "is_active": user.is_active,
        "awaits_activation": user.awaits_activation, "version": user.version, "created_by": user.created_by,
        "created_at": user.created_at, "updated_at": user.updated_at, "last_login_at": user.last_login_at,
        "erased_at": user.erased_at,
    }  # fmt: skip
