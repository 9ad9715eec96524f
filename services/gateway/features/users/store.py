"""Every SQL statement about administrators' accounts."""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, Row, func, or_, select, text, update
from sqlalchemy.dialects import postgresql

from libs.common.database.engine import Session
from libs.common.errors import NotFound
from libs.common.web.paging import MOST_COUNT
from services.gateway.access.permissions import Role
from services.gateway.features.users.models import NewUser, User
from services.gateway.tables import users

_PUBLIC = (
    users.c.id, users.c.email, users.c.name, users.c.role, users.c.is_active,
    users.c.password_hash.is_(None).label("awaits_activation"), users.c.version, users.c.created_by,
    users.c.created_at, users.c.updated_at, users.c.last_login_at,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Search:
    """What a list of accounts is narrowed down to."""

    text: str | None = None
    role: str | None = None
    is_active: bool | None = None


async def find(session: Session, user_id: str) -> User | None:
    """One account, or None."""
    return _user((await session.execute(select(*_PUBLIC).where(users.c.id == user_id))).one_or_none())


async def get(session: Session, user_id: str) -> User:
    """One account. Raises `NotFound`."""
    found = await find(session, user_id)
    if found is None:
        raise NotFound(f"no user {user_id}", code="user_not_found")
    return found


async def find_for_sign_in(session: Session, email: str) -> tuple[User, str | None] | None:
    """The account of an e-mail address together with its password hash."""
    row = (await session.execute(select(*_PUBLIC, users.c.password_hash).where(users.c.email == email))).one_or_none()
    if row is None:
        return None
    fields = dict(row._mapping)
    password_hash = fields.pop("password_hash")
    return User(**fields), password_hash


async def lock_rights(session: Session) -> None:
    """Wait until no other transaction changes anybody's rights, and keep others waiting until this one ends."""
    await session.execute(text("SELECT pg_advisory_xact_lock(hashtextextended('reeve.gateway.rights', 0))"))


async def count_active_super_admins(session: Session) -> int:
    """How many there are; meaningful only under `lock_rights`."""
    counted = select(func.count()).where(users.c.role == Role.SUPER_ADMIN, users.c.is_active)
    return (await session.execute(counted)).scalar_one()


async def append(session: Session, user_id: str, new: NewUser, *, created_by: str | None) -> User | None:
    """A new account; None when its e-mail address has one already."""
    added = (
        postgresql.insert(users)
        .values(
            id=user_id, email=new.email, name=new.name, role=new.role, password_hash=new.password_hash,
            created_by=created_by,
        )
        .on_conflict_do_nothing(index_elements=[users.c.email])
        .returning(*_PUBLIC)
    )  # fmt: skip
    return _user((await session.execute(added)).one_or_none())


async def set_role(session: Session, user_id: str, role: str) -> User:
    """Give an account that exists another role."""
    changed = (
        update(users)
        .where(users.c.id == user_id)
        .values(role=role, version=users.c.version + 1, updated_at=func.now())
        .returning(*_PUBLIC)
    )
    return User(**(await session.execute(changed)).one()._mapping)


async def search(
    session: Session, sought: Search, *, before: str | None, skip: int, limit: int
) -> tuple[list[User], int]:
    """Accounts, newest first, from after the id `before` on, and how many there are (counted up to one too many).

    Ids are UUIDv7: their order is that of creation.
    """
    matching = _conditions(sought)
    page = select(*_PUBLIC).where(*matching)
    if before is not None:
        page = page.where(users.c.id < before)
    rows = await session.execute(page.order_by(users.c.id.desc()).offset(skip).limit(limit))
    capped = select(users.c.id).where(*matching).limit(MOST_COUNT + 1).subquery()
    total = (await session.execute(select(func.count()).select_from(capped))).scalar_one()
    return [User(**row._mapping) for row in rows], total


def _conditions(sought: Search) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if sought.text:
        found.append(
            or_(
                users.c.email.icontains(sought.text, autoescape=True),
                users.c.name.icontains(sought.text, autoescape=True),
            )
        )
    if sought.role is not None:
        found.append(users.c.role == sought.role)
    if sought.is_active is not None:
        found.append(users.c.is_active == sought.is_active)
    return found


def _user(row: Row[tuple[object, ...]] | None) -> User | None:
    return User(**row._mapping) if row is not None else None
