"""The registered clients, as far as taking their events needs them."""

from sqlalchemy import select

from libs.common.database.engine import Session
from libs.common.delivery.senders import RegisteredClient
from services.gateway.tables import clients


async def load_senders(session: Session) -> dict[str, RegisteredClient]:
    """Every registered client by its id: the source it speaks for and the types it may send."""
    rows = await session.execute(select(clients.c.client_id, clients.c.source, clients.c.event_types))
    return {row.client_id: RegisteredClient(row.client_id, row.source, tuple(row.event_types)) for row in rows}
