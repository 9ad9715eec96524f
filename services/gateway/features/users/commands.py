"""What is done to administrators' accounts, and the events it leaves."""

from libs.common.database import outbox
from libs.common.database.engine import Database, Session
from libs.common.errors import ConfigError, Conflict, Invalid, PreconditionFailed
from libs.common.events.catalog import Change, new_event
from libs.common.events.users import UserCreated, UserRoleChanged, UserUpdated
from libs.common.identity import Actor, ActorType, Caller, Level
from libs.common.ids import new_id
from services.gateway.access import passwords
from services.gateway.access import store as access_store
from services.gateway.access.events import access_ended, event_of
from services.gateway.access.grants import (
    Grantee,
    Grantor,
    may_assign,
    may_change_role,
    may_edit,
    permission_required,
    refused,
)
from services.gateway.access.password_policy import PasswordPolicy
from services.gateway.access.passwords import Passwords
from services.gateway.access.permissions import NO_RIGHTS, Rights, Role, holds
from services.gateway.facts import FactKind
from services.gateway.features.links import store as links_store
from services.gateway.features.links.commands import Links
from services.gateway.features.links.models import Purpose, Recipient
from services.gateway.features.users import store
from services.gateway.features.users.models import NewUser, User
from services.gateway.sightings import fact_of
from services.gateway.store import note

REDACTED = "[redacted]"


async def create_user(session: Session, caller: Caller, new: NewUser, links: Links) -> User:
    """Make an account; without a password its owner is sent the link that activates it.

    Raises `Forbidden` for a role above the caller's own and `Conflict` for a taken address.
    """
    await access_store.lock_rights(session)
    grantor = await current_grantor(session, caller, needs="users:write")
    refusal = may_assign(grantor, await get_rights(session, new.role))
    if refusal is not None:
        raise refused(refusal)
    user = await store.append(session, new_id(), new, created_by=caller.actor.id)
    if user is None:
        raise _taken()
    await outbox.emit(session, event_of(caller, created(user), subject=f"user/{user.id}"))
    if user.awaits_activation:
        await links.send(session, caller, recipient_of(user), Purpose.ACTIVATION)
    if user.rights.level is Level.ADMIN:
        details = {"change": "new_user", "target": user.id, "new": user.role}
        await note(session, fact_of(caller, FactKind.PRIVILEGE_CHANGED, details=details))
    return user


async def update_user(
    session: Session, caller: Caller, *, user_id: str, email: str | None, name: str | None, version: int | None
) -> tuple[User, bool]:
    """Give an account another address or name, and say whether that changed anything. None leaves a field alone.

    Whoever may set somebody's address may become them, so the account must not be above the caller's role. Links that
    were sent to the old address work no more.
    """
    grantor, user = await begin_change(session, caller, user_id=user_id, version=version)
    refusal = may_edit(grantor, grantee_of(user))
    if refusal is not None:
        raise refused(refusal)
    offered = {"email": (user.email, email), "name": (user.name, name)}
    changed = {field: new for field, (old, new) in offered.items() if new is not None and new != old}
    if not changed:
        return user, False
    if "email" in changed and await store.is_taken(session, changed["email"]):
        raise _taken()
    user = await store.put(session, user_id, **changed)
    if "email" in changed:
        await links_store.end_all(session, user_id)
    # Personal fields are masked: that they changed is recorded, what they were and are is not.
    data = UserUpdated(user_id=user_id, changes={field: Change(old=REDACTED, new=REDACTED) for field in changed})
    await outbox.emit(session, event_of(caller, data, subject=f"user/{user_id}"))
    return user, True


async def change_role(
    session: Session,
    caller: Caller,
    *,
    user_id: str,
    role: str,
    version: int | None,
    causation_id: str | None = None,
) -> tuple[User, bool]:
    """Give an account another role, and say whether that changed anything: the same role again leaves no event.

    `version` is the one that the caller saw, None for any.
    """
    grantor, user = await begin_change(session, caller, user_id=user_id, version=version)
    refusal = may_change_role(
        grantor,
        grantee_of(user),
        role,
        await get_rights(session, role),
        active_super_admins=await store.count_active_super_admins(session),
    )
    if refusal is not None:
        raise refused(refusal)
    if user.role == role:
        return user, False
    return await put_role(session, caller, user, role, causation_id=causation_id), True


async def put_role(session: Session, caller: Caller, user: User, role: str, *, causation_id: str | None = None) -> User:
    """Give an account another role, once it is decided that it may have it, under `lock_rights`.

    What it held for a time ends with its old role: it was granted to somebody in that place.
    """
    ended = await access_store.end_grants(session, user.id, reason="role_changed")
    changed = await store.put(session, user.id, role=role)
    data = UserRoleChanged(user_id=user.id, role=role, changes={"role": Change(old=user.role, new=role)})
    subject = f"user/{user.id}"
    await outbox.emit(
        session,
        event_of(caller, data, subject=subject, severity="warning", causation_id=causation_id),
        *(
            event_of(caller, access_ended(grant, "role_changed"), subject=subject, causation_id=causation_id)
            for grant in ended
        ),
    )
    details = {"change": "user_role", "target": user.id, "old": user.role, "new": role}
    await note(session, fact_of(caller, FactKind.PRIVILEGE_CHANGED, details=details))
    return changed


async def begin_change(
    session: Session, caller: Caller, *, user_id: str, version: int | None, needs: str = "users:write"
) -> tuple[Grantor, User]:
    """The caller and an account as they are now, under a lock that lets nobody else change rights meanwhile.

    Neither a stale cache nor a parallel change can so take more than is held. Raises `Forbidden` when the
    caller no longer holds `needs`, `NotFound`, `PreconditionFailed`, and `Conflict` for an erased account.
    """
    await access_store.lock_rights(session)
    grantor = await current_grantor(session, caller, needs=needs)
    user = await store.get(session, user_id)
    if version is not None and user.version != version:
        raise PreconditionFailed(f"the user has version {user.version}", current_version=user.version)
    if user.erased_at is not None:
        raise Conflict(
            f"the personal data of user {user_id} was erased; nothing is changed any more", code="user_erased"
        )
    return grantor, user


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


async def _outside_grantor(session: Session, actor: Actor, *, needs: str) -> Grantor:
    """What a token of another issuer gives now. Its role is in its claims; here its bearer may have an account, which
    may be switched off, and what was granted to that account for a time is not in their token."""
    user = await store.find(session, actor.id)
    held = await access_store.find_rights(session, actor.role) if actor.role is not None else None
    rights = held if held is not None and (user is None or user.is_active) else NO_RIGHTS
    if not holds(rights.permissions, needs):
        raise permission_required(needs, actor)
    return Grantor(id=actor.id, role=actor.role, rights=rights)


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


async def ensure_first_admin(
    database: Database,
    email: str,
    password: str | None,
    *,
    hasher: Passwords | None = None,
    policy: PasswordPolicy | None = None,
) -> str | None:
    """Make the first super admin unless there is one; the generated password when none was given, else None.

    Starts that collide make one account. Raises `ConfigError` for a password that `policy` refuses.
    """
    if password is not None and policy is not None:
        async with database.transaction() as session:
            await access_store.lock_rights(session)
            if await store.count_active_super_admins(session):
                return None
        await _check_configured(policy, password, email=email)
    chosen = password or passwords.generated()
    hashing = hasher or Passwords()
    async with database.transaction() as session:
        await access_store.lock_rights(session)
        if await store.count_active_super_admins(session):
            return None
        password_hash = await hashing.hash(chosen)
        new = NewUser(email=email.lower(), name="Administrator", role=Role.SUPER_ADMIN, password_hash=password_hash)
        user = await store.append(session, new_id(), new, created_by=None)
        if user is None:
            raise Conflict(f"{email} has an account that is no super_admin; set REEVE_ADMIN_EMAIL to another address")
        event = new_event(created(user), subject=f"user/{user.id}", actor_type=ActorType.SYSTEM)
        await outbox.emit(session, event)
    return chosen if password is None else None


async def _check_configured(policy: PasswordPolicy, password: str, *, email: str) -> None:
    try:
        await policy.check(password, email=email, name="", member="password")
    except Invalid as error:
        raise ConfigError(f"REEVE_ADMIN_PASSWORD: {error.message}") from None


def recipient_of(user: User) -> Recipient:
    """An account's owner as a link is sent to them."""
    return Recipient(user_id=user.id, address=user.email, name=user.name)


def _taken() -> Conflict:
    return Conflict("there is an account with this e-mail address", code="user_exists")


def created(user: User) -> UserCreated:
    """What is told of a new account."""
    return UserCreated(
        user_id=user.id,
        role=user.role,
        is_active=user.is_active,
        awaits_activation=user.awaits_activation,
        changes={
            "role": Change(new=user.role),
            "email": Change(new=REDACTED),
            "name": Change(new=REDACTED),
            "is_active": Change(new=user.is_active),
        },
    )
