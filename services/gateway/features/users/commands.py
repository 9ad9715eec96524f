"""What is done to administrators' accounts, and the events it leaves."""

from libs.common.database import outbox
from libs.common.database.engine import Database, Session
from libs.common.errors import Conflict, PreconditionFailed
from libs.common.events.catalog import Change, new_event
from libs.common.events.users import UserCreated, UserRoleChanged
from libs.common.identity import ActorType, Caller
from libs.common.ids import new_id
from services.gateway.access import passwords
from services.gateway.access import store as access_store
from services.gateway.access.events import event_of
from services.gateway.access.grants import Grantee, Grantor, may_assign, may_change_role, permission_required, refused
from services.gateway.access.passwords import Passwords
from services.gateway.access.permissions import Role, holds, permissions_of
from services.gateway.features.users import store
from services.gateway.features.users.models import NewUser, User

REDACTED = "[redacted]"


async def create_user(session: Session, caller: Caller, new: NewUser) -> User:
    """Make an account. Raises `Forbidden` for a role above the caller's own and `Conflict` for a taken address."""
    grantor = await current_grantor(session, caller, needs="users:write")
    refusal = may_assign(grantor, new.role)
    if refusal is not None:
        raise refused(refusal)
    user = await store.append(session, new_id(), new, created_by=caller.actor.id)
    if user is None:
        raise Conflict("there is an account with this e-mail address", code="user_exists")
    await outbox.emit(session, event_of(caller, created(user), subject=f"user/{user.id}"))
    return user


async def change_role(
    session: Session, caller: Caller, *, user_id: str, role: str, version: int | None
) -> tuple[User, bool]:
    """Give an account another role, and say whether that changed anything: the same role again leaves no event.

    Rights are read again under a lock: neither a stale cache nor a parallel change can take more than is held.
    `version` is the one that the caller saw, None for any.
    """
    await store.lock_rights(session)
    grantor = await current_grantor(session, caller, needs="users:write")
    user = await store.get(session, user_id)
    if version is not None and user.version != version:
        raise PreconditionFailed(f"the user has version {user.version}", current_version=user.version)
    refusal = may_change_role(
        grantor,
        Grantee(id=user.id, role=user.role, is_active=user.is_active),
        role,
        active_super_admins=await store.count_active_super_admins(session),
    )
    if refusal is not None:
        raise refused(refusal)
    if user.role == role:
        return user, False
    changed = await store.set_role(session, user_id, role)
    data = UserRoleChanged(user_id=user_id, role=role, changes={"role": Change(old=user.role, new=role)})
    await outbox.emit(session, event_of(caller, data, subject=f"user/{user_id}", severity="warning"))
    return changed, True


async def current_grantor(session: Session, caller: Caller, *, needs: str) -> Grantor:
    """What the caller holds now, in this transaction. Raises `Forbidden` when `needs` is no longer among it."""
    actor = caller.actor
    if actor.type is ActorType.ADMIN:
        user = await store.find(session, actor.id)
        held = permissions_of(user.role) if user is not None and user.is_active else frozenset()
        if actor.issuer is not None:
            # Their role is in their token; here they may have an account, and it may be switched off.
            held = actor.permissions if user is None or user.is_active else frozenset()
    else:
        scopes = await access_store.find_client_scopes(session, actor.id)
        held = actor.permissions.intersection(scopes or ())
    if not holds(held, needs):
        raise permission_required(needs, actor)
    return Grantor(id=actor.id, permissions=held)


async def ensure_first_admin(
    database: Database, email: str, password: str | None, *, hasher: Passwords | None = None
) -> str | None:
    """Make the first super admin unless there is one; the generated password when none was given, else None.

    Starts that collide make one account.
    """
    chosen = password or passwords.generated()
    hashing = hasher or Passwords()
    async with database.transaction() as session:
        await store.lock_rights(session)
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
