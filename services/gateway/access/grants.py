"""Who may change whose rights, and how: decisions without I/O.

The rules of the contract: nobody grants what they do not hold, nobody touches somebody above
themselves, the last active super admin stays, and nobody demotes or deletes themselves.

*Above* is defined by the lattice of permission sets (`permissions.covers`), for built-in and custom
roles alike. What counts is what somebody's role gives. A permission that was granted for a time may be
used, and cannot be handed on: it neither lets its holder give it, nor puts them above anybody.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

from libs.common.errors import Conflict, Forbidden, ReeveError
from libs.common.identity import Actor
from services.gateway.access.permissions import EVERYTHING, Rights, Role, covers, holds, holds_all, privileges_for

ANY_ADMIN = "admin"
"""What a refused client is told it lacks where every administrator is let in."""


class Refusal(StrEnum):
    """Why a change is not made. The values are the error codes that callers see."""

    INSUFFICIENT_ROLE = "insufficient_role"
    LAST_SUPER_ADMIN = "last_super_admin"
    SELF_CHANGE = "self_change_refused"
    OWN_REQUEST = "own_request"


@dataclass(frozen=True, slots=True)
class Grantor:
    """Whoever changes rights, as they are at the moment of the change. `rights` are those of their role."""

    id: str
    role: str | None
    rights: Rights


@dataclass(frozen=True, slots=True)
class Grantee:
    """The account that is changed, as it is at the moment of the change."""

    id: str
    role: str
    rights: Rights
    is_active: bool


def may_assign(grantor: Grantor, rights: Rights) -> Refusal | None:
    """Why `grantor` may not give a role of these rights to somebody new; None when they may."""
    return None if covers(grantor.rights, rights) else Refusal.INSUFFICIENT_ROLE


def may_grant(grantor: Grantor, permissions: Iterable[str]) -> bool:
    """Whether everything in `permissions` is held by `grantor`'s role too."""
    return holds_all(grantor.rights.permissions, permissions)


def may_edit(grantor: Grantor, grantee: Grantee) -> Refusal | None:
    """Why `grantor` may not change the account of `grantee` apart from its rights; None when they may."""
    return None if covers(grantor.rights, grantee.rights) else Refusal.INSUFFICIENT_ROLE


def may_change_role(
    grantor: Grantor, grantee: Grantee, role: str, rights: Rights, *, active_super_admins: int
) -> Refusal | None:
    """Why `grantor` may not make `grantee` a `role`, which gives `rights`; None when they may."""
    if may_edit(grantor, grantee) or may_assign(grantor, rights):
        return Refusal.INSUFFICIENT_ROLE
    return _takes_away(grantor, grantee, leaves=role != Role.SUPER_ADMIN, active_super_admins=active_super_admins)


def may_set_active(grantor: Grantor, grantee: Grantee, *, is_active: bool, active_super_admins: int) -> Refusal | None:
    """Why `grantor` may not switch the account of `grantee` on or off, or delete it; None when they may."""
    if may_edit(grantor, grantee):
        return Refusal.INSUFFICIENT_ROLE
    return _takes_away(grantor, grantee, leaves=not is_active, active_super_admins=active_super_admins)


def may_write_role(grantor: Grantor, name: str, *, old: Rights | None, new: Rights | None) -> Refusal | None:
    """Why `grantor` may not turn the role `name` from `old` (None: there is none) into `new` (None: delete it).

    Whoever holds the role changes with it, so its editor must cover it as it was and as it will be.
    """
    if not all(covers(grantor.rights, rights) for rights in (old, new) if rights is not None):
        return Refusal.INSUFFICIENT_ROLE
    return Refusal.SELF_CHANGE if grantor.role == name else None


def may_decide(grantor: Grantor, *, asked_by: str, permission: str, approves: bool) -> Refusal | None:
    """Why `grantor` may not decide somebody's request for a permission; None when they may."""
    if grantor.id == asked_by:
        return Refusal.OWN_REQUEST
    if approves and not holds(grantor.rights.permissions, permission):
        return Refusal.INSUFFICIENT_ROLE
    return None


def needs_four_eyes(*, has: Rights, gains: Rights) -> bool:
    """Whether a change gives somebody everything who has less: nobody below could take it back.

    Everything is `*`. Whoever holds each permission by name can still change no super admin and make none.
    """
    return EVERYTHING in gains.permissions and not covers(has, gains)


def _takes_away(grantor: Grantor, grantee: Grantee, *, leaves: bool, active_super_admins: int) -> Refusal | None:
    """The last super admin is looked at before the self change: only they could try it at all, so the other
    order would never name the true reason."""
    if leaves and grantee.role == Role.SUPER_ADMIN and grantee.is_active and active_super_admins <= 1:
        return Refusal.LAST_SUPER_ADMIN
    return Refusal.SELF_CHANGE if grantor.id == grantee.id else None


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
            return Conflict("nobody changes their own role, or switches themselves off", code=refusal)
        case Refusal.OWN_REQUEST:
            return Forbidden("nobody decides their own request", code=refusal)
        case _:
            assert_never(refusal)
