"""Every SQL statement about registered clients."""

from collections.abc import Sequence

from sqlalchemy import RowMapping, delete, func, select
from sqlalchemy.dialects import postgresql

from libs.common.database.engine import Session
from libs.common.errors import NotFound
from libs.common.web.paging import MOST_COUNT
from services.gateway.features.clients.models import Client
from services.gateway.tables import clients

_PUBLIC = (
    clients.c.id, clients.c.client_id, clients.c.name, clients.c.source, clients.c.scopes, clients.c.event_types,
    clients.c.created_by, clients.c.created_at, clients.c.updated_at, clients.c.permission_epoch,
)  # fmt: skip


async def get(session: Session, id_: str) -> Client:
    """One client. Raises `NotFound`."""
    found = _client((await session.execute(select(*_PUBLIC).where(clients.c.id == id_))).mappings().one_or_none())
    if found is None:
        raise NotFound(f"no client {id_}", code="client_not_found")
    return found


async def find_with_secret(session: Session, client_id: str) -> tuple[Client, str] | None:
    """The client of this name together with the hash of its secret."""
    row = (
        (await session.execute(select(*_PUBLIC, clients.c.secret_hash).where(clients.c.client_id == client_id)))
        .mappings()
        .one_or_none()
    )
    client = _client(row)
    return (client, row["secret_hash"]) if client is not None and row is not None else None


async def append(
    session: Session,
    id_: str,
    *,
    client_id: str,
    secret_hash: str,
    name: str,
    source: str,
    scopes: Sequence[str],
    event_types: Sequence[str],
    created_by: str | None,
) -> Client | None:
    """A new client; None when its name is taken."""
    added = (
        postgresql.insert(clients)
        .values(
            id=id_, client_id=client_id, secret_hash=secret_hash, name=name, source=source, scopes=list(scopes),
            event_types=list(event_types), created_by=created_by,
        )
        .on_conflict_do_nothing(index_elements=[clients.c.client_id])
        .returning(*_PUBLIC)
    )  # fmt: skip
    return _client((await session.execute(added)).mappings().one_or_none())


async def replace(
    session: Session,
    client_id: str,
    *,
    secret_hash: str,
    name: str,
    source: str,
    scopes: Sequence[str],
    event_types: Sequence[str],
) -> Client:
    """Give a client that exists another registration."""
    changed = (
        clients.update()
        .where(clients.c.client_id == client_id)
        .values(
            secret_hash=secret_hash, name=name, source=source, scopes=list(scopes), event_types=list(event_types),
            updated_at=func.now(),
        )
        .returning(*_PUBLIC)
    )  # fmt: skip
    return _of((await session.execute(changed)).mappings().one())


async def remove(session: Session, id_: str) -> Client:
    """Delete a client. Raises `NotFound`."""
    gone = _client(
        (await session.execute(delete(clients).where(clients.c.id == id_).returning(*_PUBLIC))).mappings().one_or_none()
    )
    if gone is None:
        raise NotFound(f"no client {id_}", code="client_not_found")
    return gone


async def search(session: Session, *, before: str | None, skip: int, limit: int) -> tuple[list[Client], int]:
    """Clients, newest first, from after the id `before` on, and how many there are (counted up to one too many)."""
    page = select(*_PUBLIC)
    if before is not None:
        page = page.where(clients.c.id < before)
    rows = await session.execute(page.order_by(clients.c.id.desc()).offset(skip).limit(limit))
    capped = select(clients.c.id).limit(MOST_COUNT + 1).subquery()
    total = (await session.execute(select(func.count()).select_from(capped))).scalar_one()
    return [_of(row) for row in rows.mappings()], total


def _client(row: RowMapping | None) -> Client | None:
    return _of(row) if row is not None else None


def _of(row: RowMapping) -> Client:
    return Client(
        id=row["id"],
        client_id=row["client_id"],
        name=row["name"],
        source=row["source"],
        scopes=tuple(row["scopes"]),
        event_types=tuple(row["event_types"]),
        created_by=row["created_by"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        permission_epoch=row["permission_epoch"],
    )
