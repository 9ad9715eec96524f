"""Making administrators' accounts and changing them, and the events it leaves."""

from dataclasses import asdict

from libs.common.database import outbox
from libs.common.database.engine import Session
from libs.common.errors import Conflict
from libs.common.events.catalog import Change
from libs.common.events.users import UserCreated, UserRoleChanged, UserUpdated
from libs.common.identity import Caller, Level
from libs.common.ids import new_id
from services.gateway.access import store as access_store
from services.gateway.access.events import access_ended, event_of
from services.gateway.access.grants import Grantor, may_assign, may_change_role, may_edit, needs_four_eyes, refused
from services.gateway.access.permissions import NO_RIGHTS, Rights
from services.gateway.facts import FactKind
from services.gateway.features.approvals.models import Approval, Asked, Basis, Waiting
from services.gateway.features.links import store as links_store
from services.gateway.features.links.commands import Links
from services.gateway.features.links.models import Purpose, Recipient
from services.gateway.features.users import store
from services.gateway.features.users.commands.rights import (
    NEEDED,
    FourEyes,
    begin_change,
    get_rights,
    grantee_of,
    second_pair,
    told_of,
    whoever_asks,
)
from services.gateway.features.users.models import NewUser, User, UserChange
from services.gateway.sightings import fact_of
from services.gateway.store import note

REDACTED = "[redacted]"


async def create_user(
    session: Session,
    caller: Caller,
    new: NewUser,
    links: Links,
    four_eyes: FourEyes,
    *,
    causation_id: str | None = None,
) -> User | Waiting:
    """Make an account; without a password its owner is sent the link that activates it.

    Raises `Forbidden` for a role above the caller's own and `Conflict` for a taken address.
    """
    await access_store.lock_rights(session)
    grantor = await whoever_asks(session, caller, four_eyes, needs=NEEDED)
    rights = await get_rights(session, new.role)
    refusal = may_assign(grantor, rights)
    if refusal is not None:
        raise refused(refusal)
    user_id = four_eyes.target_id if isinstance(four_eyes, Approval) else new_id()
    basis: Basis | None = None
    if needs_four_eyes(has=NO_RIGHTS, gains=rights):
        if await store.is_taken(session, new.email):
            raise _taken()  # Now, and not once somebody approved it.
        changes = {"role": {"new": new.role}, "email": {"new": REDACTED}, "name": {"new": REDACTED}}
        asked = Asked(UserChange.CREATION, f"user/{user_id}", None, inputs=asdict(new), changes=changes)
        found = await second_pair(session, caller, four_eyes, asked)
        if isinstance(found, Waiting):
            return found
        basis = found
    user = await store.append(session, user_id, new, created_by=grantor.id)
    if user is None:
        raise _taken()
    told = event_of(
        caller, created(user, basis), subject=f"user/{user.id}", severity=basis.severity if basis else None,
        causation_id=causation_id,
    )  # fmt: skip
    await outbox.emit(session, told)
    if user.awaits_activation:
        await links.send(session, caller, recipient_of(user), Purpose.ACTIVATION)
    if user.rights.level is Level.ADMIN:
        details = {"change": "new_user", "target": user.id, "new": user.role, **told_of(basis)}
        await note(session, fact_of(caller, FactKind.PRIVILEGE_CHANGED, details=details))
    return user


async def update_user(
    session: Session,
    caller: Caller,
    *,
    user_id: str,
    email: str | None,
    name: str | None,
    version: int | None,
    four_eyes: FourEyes,
    causation_id: str | None = None,
) -> tuple[User, bool] | Waiting:
    """Give an account another address or name, and say whether that changed anything. None leaves a field alone.

    Whoever may set somebody's address may become them, so the account must not be above the caller's role. Links that
    were sent to the old address work no more.
    """
    grantor, user = await begin_change(session, caller, user_id=user_id, version=version, four_eyes=four_eyes)
    refusal = may_edit(grantor, grantee_of(user))
    if refusal is not None:
        raise refused(refusal)
    offered = {"email": (user.email, email), "name": (user.name, name)}
    changed = {field: new for field, (old, new) in offered.items() if new is not None and new != old}
    if not changed:
        return user, False
    if "email" in changed and await store.is_taken(session, changed["email"]):
        raise _taken()
    # Personal fields are masked: that they changed is recorded, what they were and are is not.
    masked = {field: {"old": REDACTED, "new": REDACTED} for field in changed}
    basis: Basis | None = None
    if "email" in changed and grantor.id != user.id and needs_four_eyes(has=NO_RIGHTS, gains=user.rights):
        asked = Asked(UserChange.ADDRESS, f"user/{user_id}", user.version, inputs=changed, changes=masked)
        found = await second_pair(session, caller, four_eyes, asked)
        if isinstance(found, Waiting):
            return found
        basis = found
    user = await store.put(session, user_id, **changed)
    if "email" in changed:
        await links_store.end_all(session, user_id)
    changes = {field: Change(**change) for field, change in masked.items()}
    data = UserUpdated(user_id=user_id, changes=changes, **told_of(basis))
    told = event_of(
        caller, data, subject=f"user/{user_id}", severity=basis.severity if basis else None, causation_id=causation_id
    )
    await outbox.emit(session, told)
    return user, True


async def change_role(
    session: Session,
    caller: Caller,
    *,
    user_id: str,
    role: str,
    version: int | None,
    four_eyes: FourEyes,
    causation_id: str | None = None,
) -> tuple[User, bool] | Waiting:
    """Give an account another role, and say whether that changed anything: the same role again leaves no event.

    `version` is the one that the caller saw, None for any.
    """
    grantor, user = await begin_change(session, caller, user_id=user_id, version=version, four_eyes=four_eyes)
    rights = await refuse_role(session, grantor, user, role)
    if user.role == role:
        return user, False
    basis: Basis | None = None
    if needs_four_eyes(has=user.rights, gains=rights):
        changes = {"role": {"old": user.role, "new": role}}
        asked = Asked(UserChange.ROLE, f"user/{user_id}", user.version, inputs={"role": role}, changes=changes)
        found = await second_pair(session, caller, four_eyes, asked, causation_id=causation_id)
        if isinstance(found, Waiting):
            return found
        basis = found
    return await put_role(session, caller, user, role, basis=basis, causation_id=causation_id), True


async def put_role(
    session: Session,
    caller: Caller,
    user: User,
    role: str,
    *,
    basis: Basis | None = None,
    causation_id: str | None = None,
) -> User:
    """Give an account another role, once it is decided that it may have it, under `lock_rights`.

    What it held for a time ends with its old role: it was granted to somebody in that place.
    """
    ended = await access_store.end_grants(session, user.id, reason="role_changed")
    changed = await store.put(session, user.id, role=role)
    changes = {"role": Change(old=user.role, new=role)}
    data = UserRoleChanged(user_id=user.id, role=role, changes=changes, **told_of(basis))
    subject = f"user/{user.id}"
    severity = basis.severity if basis else "warning"
    await outbox.emit(
        session,
        event_of(caller, data, subject=subject, severity=severity, causation_id=causation_id),
        *(
            event_of(caller, access_ended(grant, "role_changed"), subject=subject, causation_id=causation_id)
            for grant in ended
        ),
    )
    details = {"change": "user_role", "target": user.id, "old": user.role, "new": role, **told_of(basis)}
    await note(session, fact_of(caller, FactKind.PRIVILEGE_CHANGED, details=details))
    return changed


def recipient_of(user: User) -> Recipient:
    """An account's owner as a link is sent to them."""
    return Recipient(user_id=user.id, address=user.email, name=user.name)


def created(user: User, basis: Basis | None = None) -> UserCreated:
    """What is told of a new account."""
    return UserCreated(
        **told_of(basis),
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


def _taken() -> Conflict:
    return Conflict("there is an account with this e-mail address", code="user_exists")


async def refuse_role(session: Session, grantor: Grantor, user: User, role: str) -> Rights:
    """The rights that the role gives. Raises what keeps the grantor from giving it to this account, as things are now."""
    rights = await get_rights(session, role)
    refusal = may_change_role(
        grantor,
        grantee_of(user),
        role,
        rights,
        active_super_admins=await store.count_active_super_admins(session),
    )
    if refusal is not None:
        raise refused(refusal)
    return rights
