"""Who may give whom which role or scope: decisions without I/O.

The rules of the contract: nobody grants what they do not hold, nobody touches somebody above
themselves, the last active super admin stays, and nobody demotes themselves.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from libs.common.errors import Conflict, Forbidden, ReeveError
from libs.common.identity import Actor
from services.gateway.access.permissions import Role, holds_all, permissions_of, privileges_for

ANY_ADMIN = "admin"
"""What a refused client is told it lacks where every administrator is let in."""


class Refusal(StrEnum):
    """Why a grant is not made. The values are the error codes that callers see."""

    INSUFFICIENT_ROLE = "insufficient_role"
    LAST_SUPER_ADMIN = "last_super_admin"
    SELF_CHANGE = "self_change_refused"


@dataclass(frozen=True, slots=True)
class Grantor:
    """Whoever changes rights, as they are at the moment of the change."""

    id: str
    permissions: frozenset[str]


@dataclass(frozen=True, slots=True)
class Grantee:
    """The account whose rights change, as it is at the moment of the change."""

    id: str
    role: str
    is_active: bool


def may_assign(grantor: Grantor, role: str) -> Refusal | None:
    """Why `grantor` may not give `role` to somebody new; None when they may."""
    return None if may_grant(grantor, permissions_of(role)) else Refusal.INSUFFICIENT_ROLE


def may_grant(grantor: Grantor, permissions: Iterable[str]) -> bool:
    """Whether everything in `permissions` is held by `grantor` too."""
    return holds_all(grantor.permissions, permissions)


def may_change_role(grantor: Grantor, grantee: Grantee, role: str, *, active_super_admins: int) -> Refusal | None:
    """Why `grantor` may not make `grantee` a `role`; None when they may.

    The last super admin is looked at before the self change: only they could try it at all, so the
    other order would never name the true reason.
    """
    if not may_grant(grantor, permissions_of(grantee.role)) or may_assign(grantor, role):
        return Refusal.INSUFFICIENT_ROLE
    leaves = grantee.role == Role.SUPER_ADMIN and grantee.is_active and role != Role.SUPER_ADMIN
    if leaves and active_super_admins <= 1:
        return Refusal.LAST_SUPER_ADMIN
    if grantor.id == grantee.id:
        return Refusal.SELF_CHANGE
    return None


def may_end_sessions(grantor: Grantor, role: str) -> Refusal | None:
    """Why `grantor` may not end the sessions of somebody with `role`; None when they may."""
    return None if may_grant(grantor, permissions_of(role)) else Refusal.INSUFFICIENT_ROLE


def permission_required(permission: str, actor: Actor) -> Forbidden:
    """The exact refusal of whoever lacks a permission."""
    level = ANY_ADMIN if permission == ANY_ADMIN else privileges_for(permission)
    return Forbidden(
        f"This operation requires {level} privileges",
        code="admin_permission_required",
        required_permission=permission,
        user_permission=actor.level.value,
    )


def refused(refusal: Refusal) -> ReeveError:
    """The error that tells a caller about a refusal."""
    match refusal:
        case Refusal.INSUFFICIENT_ROLE:
            return Forbidden("nobody can grant, or change in others, what they do not hold themselves", code=refusal)
        case Refusal.LAST_SUPER_ADMIN:
            return Conflict("the last active super_admin stays", code=refusal)
        case Refusal.SELF_CHANGE:
            return Conflict("nobody changes their own role", code=refusal)
