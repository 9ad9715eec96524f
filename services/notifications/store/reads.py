"""What each administrator has read: one mark per administrator, and rows for single notifications."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, literal, select
from sqlalchemy.dialects.postgresql import insert

from libs.common.database.engine import Session
from services.notifications.tables import read_marks as m
from services.notifications.tables import reads as r
from services.notifications.tables import turn


@dataclass(frozen=True, slots=True)
class Mark:
    """Everything up to the position `read_up_to` was read at `read_at`; earlier generations' rows below it are void."""

    read_up_to: int = 0
    generation: int = 0
    read_at: datetime | None = None


async def mark_of(session: Session, admin_id: str) -> Mark:
    """The mark of an administrator, who may never have made one."""
    found = await session.execute(select(m.c.read_up_to, m.c.generation, m.c.read_at).where(m.c.admin_id == admin_id))
    row = found.first()
    return Mark() if row is None else Mark(**row._mapping)


async def mark_all(session: Session, admin_id: str, *, now: datetime) -> int:
    """Everything that is visible now is read; the position up to which that is. Costs the same however many there are."""
    fresh = select(literal(admin_id), turn.c.last_position, literal(1), literal(now, m.c.read_at.type))
    statement = insert(m).from_select(["admin_id", "read_up_to", "generation", "read_at"], fresh)
    added = statement.excluded
    upsert = statement.on_conflict_do_update(
        index_elements=["admin_id"],
        set_={
            "read_up_to": func.greatest(m.c.read_up_to, added.read_up_to),
            "generation": m.c.generation + 1,
            "read_at": added.read_at,
        },
    )
    return int(await session.scalar(upsert.returning(m.c.read_up_to)) or 0)


async def upsert(
    session: Session, *, admin_id: str, position: int, is_read: bool, generation: int, now: datetime
) -> None:
    """One administrator has read one notification, or has put it back."""
    row = {"is_read": is_read, "changed_at": now, "generation": generation}
    statement = insert(r).values(admin_id=admin_id, position=position, **row)
    await session.execute(statement.on_conflict_do_update(index_elements=["admin_id", "position"], set_=row))
