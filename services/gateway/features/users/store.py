"""Every SQL statement about administrators' accounts."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Text, bindparam, cast, func, or_, select, update
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import asyncpg

from libs.common.database.engine import Connection, Session, driver
from libs.common.database.numbered import end_of, rows_of
from libs.common.errors import NotFound
from libs.common.web.paging import MOST_COUNT
from services.gateway.access.permissions import Role
from services.gateway.access.store import BORROWED, rights_from
from services.gateway.features.users.models import NewUser, User
from services.gateway.tables import roles, users

_PUBLIC = (
    users.c.id, users.c.email, users.c.name, users.c.role, users.c.is_active,
    users.c.password_hash.is_(None).label("awaits_activation"), users.c.version, users.c.created_by,
    users.c.created_at, users.c.updated_at, users.c.last_login_at, users.c.erased_at,
    roles.c.level.label("role_level"), roles.c.permissions.label("role_permissions"), BORROWED.label("borrowed"),
)  # fmt: skip
_WITH_ROLES = users.outerjoin(roles, roles.c.name == users.c.role)
_ONE = select(*_PUBLIC).select_from(_WITH_ROLES).where(users.c.id == bindparam("user_id"))
_FIND = str(_ONE.compile(dialect=asyncpg.dialect()))  # type: ignore[no-untyped-call]
"""As text, for plain connections too: who one is, is asked often."""


@dataclass(frozen=True, slots=True)
class Search:
    """What a list of accounts is narrowed down to."""

    text: str | None = None
    role: str | None = None
    is_active: bool | None = None
    date_from: datetime | None = None
    date_to: datetime | None = None


async def find(session: Session | Connection, user_id: str) -> User | None:
    """One account, or None."""
    row = await driver(session).fetchrow(_FIND, user_id)
    return _user(row) if row is not None else None


async def get(session: Session, user_id: str) -> User:
    """One account. Raises `NotFound`."""
    found = await find(session, user_id)
    if found is None:
        raise NotFound(f"no user {user_id}", code="user_not_found")
    return found


async def find_for_sign_in(session: Session, email: str) -> tuple[User, str | None] | None:
    """The account of an e-mail address together with its password hash."""
    found = select(*_PUBLIC, users.c.password_hash).select_from(_WITH_ROLES).where(users.c.email == email)
    row = (await session.execute(found)).one_or_none()
    if row is None:
        return None
    fields = dict(row._mapping)
    password_hash = fields.pop("password_hash")
    return _user(fields), password_hash


async def count_active_super_admins(session: Session, *, but: str | None = None) -> int:
    """How many there are, or how many others than one; meaningful only under `lock_rights`."""
    counted = select(func.count()).where(users.c.role == Role.SUPER_ADMIN, users.c.is_active)
    if but is not None:
        counted = counted.where(cast(users.c.id, Text) != but)
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
        .returning(users.c.id)
    )  # fmt: skip
    is_new = (await session.execute(added)).one_or_none() is not None
    return await get(session, user_id) if is_new else None


async def put(session: Session, user_id: str, **changed: object) -> User:
    """Change fields of an account that exists; its version goes up by one."""
    values = {**changed, "version": users.c.version + 1, "updated_at": func.now()}
    await session.execute(update(users).where(users.c.id == user_id).values(**values))
    return await get(session, user_id)


async def is_taken(session: Session, email: str) -> bool:
    """Whether some account has this address; holds until the end of the transaction under `lock_rights` alone."""
    found = await session.execute(select(users.c.id).where(users.c.email == email))
    return found.one_or_none() is not None


async def search(
    session: Session, sought: Search, *, before: str | None, skip: int, limit: int
) -> tuple[list[User], int]:
    """Accounts, newest first, from after the id `before` on, and how many there are (counted up to one too many).

    Ids are UUIDv7: their order is that of creation.
    """
    matching = _conditions(sought)
    page = select(*_PUBLIC).select_from(_WITH_ROLES).where(*matching)
    if before is not None:
        page = page.where(users.c.id < before)
    rows = await session.execute(page.order_by(users.c.id.desc()).offset(skip).limit(limit))
    capped = select(users.c.id).where(*matching).limit(MOST_COUNT + 1).subquery()
    total = (await session.execute(select(func.count()).select_from(capped))).scalar_one()
    return [_user(row._mapping) for row in rows], total


async def end_of_numbers(connection: Connection) -> int:
    """The number behind the newest account."""
    return await end_of(connection, "users")


async def numbered(connection: Connection, sought: Search, *, start: int, stop: int) -> AsyncIterator[Sequence[User]]:
    """What is sought among the numbers from `start` to before `stop`, in their order, a few at a time."""
    within = (users.c.number >= start, users.c.number < stop)
    found = select(*_PUBLIC).select_from(_WITH_ROLES).where(*within, *_conditions(sought)).order_by(users.c.number)
    async for rows in rows_of(connection, found):
        yield [_user(row) for row in rows]


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
    if sought.date_from is not None:
        found.append(users.c.created_at >= sought.date_from)
    if sought.date_to is not None:
        found.append(users.c.created_at <= sought.date_to)
    return found


def _user(row: Mapping[Any, Any]) -> User:
    fields = dict(row)
    rights = rights_from(fields["role"], level=fields.pop("role_level"), permissions=fields.pop("role_permissions"))
    return User(**{**fields, "id": str(fields["id"]), "rights": rights, "borrowed": frozenset(fields["borrowed"])})
