"""By what right an account is changed: whoever asks, as they are now, and a second pair of eyes where it takes one."""

from typing import Any, TypeAlias

from libs.common.database.engine import Session
from libs.common.errors import Conflict, Forbidden, Invalid, PreconditionFailed
from libs.common.identity import Actor, ActorType, Caller, Level
from services.gateway.access import store as access_store
from services.gateway.access.grants import Grantee, Grantor, permission_required
from services.gateway.access.permissions import NO_RIGHTS, Rights, holds
from services.gateway.features.approvals.commands import Approvals
from services.gateway.features.approvals.models import Approval, Asked, Basis, Waiting
from services.gateway.features.users import store
from services.gateway.features.users.models import User

NEEDED = "users:write"
"""What it takes to change accounts, beside the rules of the lattice."""
FourEyes: TypeAlias = Approvals | Approval
"""Where a change that needs a second pair of eyes is asked for; or what they approved, and is carried out now."""


async def begin_change(
    session: Session,
    caller: Caller,
    *,
    user_id: str,
    version: int | None,
    needs: str = NEEDED,
    four_eyes: FourEyes | None = None,
) -> tuple[Grantor, User]:
    """Whoever asks for a change and an account as they are now, under a lock that lets nobody else change rights meanwhile.

    That is the caller, or for a change that was approved whoever asked for it then. Neither a stale cache nor a parallel
    change can so take more than is held. Raises `Forbidden` when they no longer hold `needs`, `NotFound`,
    `PreconditionFailed`, and `Conflict` for an erased account.
    """
    await access_store.lock_rights(session)
    grantor = await whoever_asks(session, caller, four_eyes, needs=needs)
    user = await store.get(session, user_id)
    if version is not None and user.version != version:
        raise PreconditionFailed(f"the user has version {user.version}", current_version=user.version)
    if user.erased_at is not None:
        raise Conflict(
            f"the personal data of user {user_id} was erased; nothing is changed any more", code="user_erased"
        )
    return grantor, user


async def second_pair(
    session: Session, caller: Caller, four_eyes: FourEyes, asked: Asked, *, causation_id: str | None = None
) -> Basis | Waiting:
    """By what right a change that needs four eyes is made now, or that it waits for them, under `lock_rights`.

    Where no other super admin is active there is nobody to wait for: the change is made, and its event says so.
    """
    if isinstance(four_eyes, Approval):
        return Basis("granted", four_eyes.id)
    if await store.count_active_super_admins(session, but=caller.actor.id):
        if caller.actor.issuer is not None:
            # What they may is in their token, which nobody has any more when somebody approves.
            raise Forbidden(
                "this waits for an approval: ask for it in a session of your own here", code="session_required"
            )
        return await four_eyes.ask(session, caller, asked, causation_id=causation_id)
    return Basis("none_available")


def told_of(basis: Basis | None) -> dict[str, Any]:
    """What an event says of the right by which its change was made; nothing where two eyes are enough."""
    return basis.told() if basis is not None else {}


async def current_grantor(session: Session, caller: Caller, *, needs: str) -> Grantor:
    """What the caller's role gives now, in this transaction. Raises `Forbidden` when `needs` is not held.

    `needs` may be held for a time; the rights of the grantor are those of the role alone. They bound what is
    given and taken also where denials are only observed.
    """
    actor = caller.actor
    if actor.issuer is not None:
        return await _outside_grantor(session, actor, needs=needs)
    user = await store.find(session, actor.id) if actor.type is ActorType.ADMIN else None
    if actor.type is not ActorType.ADMIN:
        scopes = await access_store.find_client_scopes(session, actor.id)
        # A client's scopes have no level: what bounds it is what they are.
        rights, borrowed = Rights(Level.ADMIN, actor.permissions.intersection(scopes or ())), frozenset[str]()
    elif user is not None and user.is_active:
        rights, borrowed = user.rights, user.borrowed
    else:
        rights, borrowed = NO_RIGHTS, frozenset[str]()
    if not holds(rights.permissions | borrowed, needs) and caller.observed != needs:
        raise permission_required(needs, actor)
    return Grantor(id=actor.id, role=user.role if user is not None else None, rights=rights)


async def get_rights(session: Session, role: str) -> Rights:
    """What a role gives. Raises 422 `unknown_role`."""
    rights = await access_store.find_rights(session, role)
    if rights is None:
        raise unknown_role(role, where="body")
    return rights


def unknown_role(role: str, *, where: str) -> Invalid:
    """The 422 of a role that is not there, in the shape of a field that does not fit."""
    problem = {"loc": [where, "role"], "msg": "there is no such role", "type": "unknown_role"}
    return Invalid(f"there is no role {role}", code="unknown_role", errors=[problem])


def grantee_of(user: User) -> Grantee:
    """An account as decisions about its rights look at it."""
    return Grantee(id=user.id, role=user.role, rights=user.rights, is_active=user.is_active)


async def whoever_asks(session: Session, caller: Caller, four_eyes: FourEyes | None, *, needs: str) -> Grantor:
    """The caller; or whoever asked for a change that was approved, as they are now, also without a request of theirs.

    Raises `Forbidden` when `needs` is not held, or held no more.
    """
    if not isinstance(four_eyes, Approval):
        return await current_grantor(session, caller, needs=needs)
    asker = await store.find(session, four_eyes.asked_by)
    if asker is None or not asker.is_active or not holds(asker.rights.permissions | asker.borrowed, needs):
        raise Forbidden("whoever asked for this may no longer do it", code="asker_not_allowed")
    return Grantor(id=asker.id, role=asker.role, rights=asker.rights)


async def _outside_grantor(session: Session, actor: Actor, *, needs: str) -> Grantor:
    """What a token of another issuer gives now. Its role is in its claims; here its bearer may have an account, which
    may be switched off, and what was granted to that account for a time is not in their token."""
    user = await store.find(session, actor.id)
    held = await access_store.find_rights(session, actor.role) if actor.role is not None else None
    rights = held if held is not None and (user is None or user.is_active) else NO_RIGHTS
    if not holds(rights.permissions, needs):
        raise permission_required(needs, actor)
    return Grantor(id=actor.id, role=actor.role, rights=rights)
