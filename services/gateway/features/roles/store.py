"""Every SQL statement about custom roles."""

from typing import Any

from sqlalchemy import Row, delete, func, select
from sqlalchemy.dialects import postgresql

from libs.common.database.engine import Session
from libs.common.identity import Level
from services.gateway.access.permissions import Rights
from services.gateway.features.roles.models import StoredRole
from services.gateway.tables import roles, users


async def find(session: Session, name: str) -> StoredRole | None:
    """One custom role, or None."""
    row = (await session.execute(select(roles).where(roles.c.name == name))).one_or_none()
    return _role(row) if row is not None else None


async def load_all(session: Session) -> list[StoredRole]:
    """Every custom role, by name; their number is bounded where they are made."""
    return [_role(row) for row in await session.execute(select(roles).order_by(roles.c.name))]


async def count(session: Session) -> int:
    """How many custom roles there are."""
    return (await session.execute(select(func.count()).select_from(roles))).scalar_one()


async def upsert(session: Session, name: str, rights: Rights, *, description: str, created_by: str) -> StoredRole:
    """Make a custom role, or make it another one under its next version."""
    values = {
        "level": rights.level.value,
        "permissions": sorted(rights.permissions),
        "description": description,
    }
    put = postgresql.insert(roles).values(name=name, created_by=created_by, **values)
    put = put.on_conflict_do_update(
        index_elements=[roles.c.name], set_={**values, "version": roles.c.version + 1, "updated_at": func.now()}
    )
    return _role((await session.execute(put.returning(*roles.c))).one())


async def remove(session: Session, name: str) -> None:
    """Delete a custom role."""
    await session.execute(delete(roles).where(roles.c.name == name))


async def count_holders(session: Session, name: str) -> int:
    """How many accounts have a role, switched off or not; holds under `lock_rights` alone."""
    return (await session.execute(select(func.count()).where(users.c.role == name))).scalar_one()


def _role(row: Row[Any]) -> StoredRole:
    return StoredRole(
        name=row.name,
        rights=Rights(Level(row.level), frozenset(row.permissions)),
        description=row.description,
        is_builtin=False,
        version=row.version,
        created_by=row.created_by,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
