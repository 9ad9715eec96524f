"""What is done to custom roles, and the events it leaves."""

from libs.common.database import outbox
from libs.common.database.engine import Session
from libs.common.errors import Conflict, PreconditionFailed
from libs.common.events.access import RoleChanged, RoleDeleted
from libs.common.events.catalog import Change
from libs.common.identity import Caller
from services.gateway.access.events import event_of
from services.gateway.access.grants import may_write_role, refused
from services.gateway.access.permissions import Rights
from services.gateway.access.store import lock_rights
from services.gateway.facts import FactKind
from services.gateway.features.roles import store
from services.gateway.features.roles.models import MOST_ROLES, StoredRole, refuse_builtin, role_not_found
from services.gateway.features.users.commands.rights import current_grantor
from services.gateway.sightings import fact_of
from services.gateway.store import note

MOST_NAMED = 20
"""Permissions that the fact of a changed role names."""


async def put_role(
    session: Session,
    caller: Caller,
    name: str,
    rights: Rights,
    *,
    description: str,
    version: int | None,
    creates_only: bool = False,
) -> tuple[StoredRole, bool, bool]:
    """Make a custom role or change it: the role, whether it is new, and whether anything changed.

    It holds for everybody who has it from the next request on, so nobody writes into a role what they do
    not hold, takes out of it what they do not hold, or writes the role they have. `version` is the one that
    the caller saw, None for any; with `creates_only` a role that is there is `PreconditionFailed`.
    """
    refuse_builtin(name)
    await lock_rights(session)
    grantor = await current_grantor(session, caller, needs="roles:write")
    old = await store.find(session, name)
    _check_version(old, name, version=version, creates_only=creates_only)
    refusal = may_write_role(grantor, name, old=old.rights if old is not None else None, new=rights)
    if refusal is not None:
        raise refused(refusal)
    if old is None and await store.count(session) >= MOST_ROLES:
        raise Conflict(f"there are {MOST_ROLES} custom roles, which is the most there may be", code="too_many_roles")
    if old is not None and (old.rights, old.description) == (rights, description):
        return old, False, False
    new = await store.upsert(session, name, rights, description=description, created_by=caller.actor.id)
    data = RoleChanged(
        name=name,
        level=new.rights.level.value,
        permissions=sorted(new.rights.permissions),
        version=new.version,
        changes=_changes(old, new),
    )
    await outbox.emit(session, event_of(caller, data, subject=f"role/{name}", severity="warning"))
    details = {"change": "role", "target": name, "permissions": sorted(new.rights.permissions)[:MOST_NAMED]}
    await note(session, fact_of(caller, FactKind.PRIVILEGE_CHANGED, details=details))
    return new, old is None, True


async def delete_role(session: Session, caller: Caller, name: str, *, version: int | None) -> None:
    """Delete a custom role that nobody has. Raises `NotFound`, and `Conflict` for one that is built in or in use."""
    refuse_builtin(name)
    await lock_rights(session)
    grantor = await current_grantor(session, caller, needs="roles:write")
    old = await store.find(session, name)
    if old is None:
        raise role_not_found(name)
    _check_version(old, name, version=version, creates_only=False)
    refusal = may_write_role(grantor, name, old=old.rights, new=None)
    if refusal is not None:
        raise refused(refusal)
    holders = await store.count_holders(session, name)
    if holders:
        raise Conflict(f"{holders} accounts have the role {name}; give them another first", code="role_in_use")
    await store.remove(session, name)
    data = RoleDeleted(name=name, changes=_changes(old, None))
    await outbox.emit(session, event_of(caller, data, subject=f"role/{name}", severity="warning"))


def _check_version(old: StoredRole | None, name: str, *, version: int | None, creates_only: bool) -> None:
    if creates_only and old is not None:
        raise PreconditionFailed(f"the role {name} is there already", current_version=old.version)
    if version is None:
        return
    if old is None:
        raise PreconditionFailed(f"there is no role {name}, so it has no version {version}")
    if old.version != version:
        raise PreconditionFailed(f"the role {name} has version {old.version}", current_version=old.version)


def _changes(old: StoredRole | None, new: StoredRole | None) -> dict[str, Change]:
    """What differs, field by field; a role that is not there has no fields."""
    before, after = _fields(old), _fields(new)
    return {
        name: Change(old=before.get(name), new=after.get(name))
        for name in ("level", "permissions", "description")
        if before.get(name) != after.get(name)
    }


def _fields(role: StoredRole | None) -> dict[str, object]:
    if role is None:
        return {}
    return {
        "level": role.rights.level.value,
        "permissions": sorted(role.rights.permissions),
        "description": role.description,
    }
