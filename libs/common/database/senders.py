"""The registered clients as a consuming service knows them: a table in its own schema."""

from collections.abc import Mapping, Sequence

from sqlalchemy import text

from libs.common.database.engine import Session


async def upsert(session: Session, *, client_id: str, source: str, event_types: Sequence[str]) -> None:
    """Remember a client, or what it may send from now on."""
    await session.execute(
        text(
            "INSERT INTO senders (client_id, source, event_types) VALUES (:client_id, :source, :event_types)"
            " ON CONFLICT (client_id) DO UPDATE SET source = EXCLUDED.source, event_types = EXCLUDED.event_types"
        ),
        {"client_id": client_id, "source": source, "event_types": list(event_types)},
    )


async def forget(session: Session, *, client_id: str) -> None:
    """Forget a deleted client: what it sends from now on is refused."""
    await session.execute(text("DELETE FROM senders WHERE client_id = :client_id"), {"client_id": client_id})


async def load(session: Session) -> Mapping[str, tuple[str, tuple[str, ...]]]:
    """All known clients: client id to source and type patterns."""
    rows = await session.execute(text("SELECT client_id, source, event_types FROM senders"))
    return {row.client_id: (row.source, tuple(row.event_types)) for row in rows}
