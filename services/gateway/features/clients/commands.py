"""Registering platform services, and letting them in with their secret."""

from collections.abc import Sequence

from libs.common.database import outbox
from libs.common.database.engine import Database, Session
from libs.common.errors import Conflict
from libs.common.events.catalog import new_event
from libs.common.events.users import ClientDeleted, ClientRegistered
from libs.common.identity import ActorType, Caller
from libs.common.ids import new_id
from services.gateway.access.events import event_of
from services.gateway.access.grants import Refusal, may_grant, refused
from services.gateway.access.passwords import Passwords
from services.gateway.facts import FactKind
from services.gateway.features.clients import store
from services.gateway.features.clients.models import Client, Registration, is_wide
from services.gateway.features.users.commands.rights import current_grantor
from services.gateway.sightings import fact_of
from services.gateway.store import note


async def register_client(session: Session, caller: Caller, new: Registration, *, secret_hash: str) -> Client:
    """Register a platform service. Raises `Forbidden` for scopes the caller lacks and `Conflict` for a taken name."""
    grantor = await current_grantor(session, caller, needs="roles:write")
    if not may_grant(grantor, new.scopes):
        raise refused(Refusal.INSUFFICIENT_ROLE)
    client = await store.append(
        session, new_id(), client_id=new.client_id, secret_hash=secret_hash, name=new.name, source=new.source,
        scopes=new.scopes, event_types=new.event_types, created_by=caller.actor.id,
    )  # fmt: skip
    if client is None:
        raise Conflict(f"there is a client {new.client_id}", code="client_exists")
    await outbox.emit(session, event_of(caller, registered(client), subject=f"client/{client.client_id}"))
    if wide := sorted(scope for scope in client.scopes if is_wide(scope)):
        details = {"change": "client", "target": client.client_id, "scopes": wide}
        await note(session, fact_of(caller, FactKind.PRIVILEGE_CHANGED, details=details))
    return client


async def delete_client(session: Session, caller: Caller, id_: str) -> Client:
    """Forget a platform service: its tokens and its events are refused from then on. Raises `NotFound`."""
    await current_grantor(session, caller, needs="roles:write")
    gone = await store.remove(session, id_)
    data = ClientDeleted(client_id=gone.client_id, source=gone.source)
    await outbox.emit(session, event_of(caller, data, subject=f"client/{gone.client_id}", severity="warning"))
    return gone


async def authenticate_client(
    database: Database, passwords: Passwords, *, client_id: str, client_secret: str
) -> Client | None:
    """The client of these credentials; None, after the same time, when they are wrong."""
    async with database.reading() as session:
        found = await store.find_with_secret(session, client_id)
    client, kept = found if found is not None else (None, None)
    return client if await passwords.check(client_secret, kept) else None


async def register_configured(database: Database, passwords: Passwords, configured: Sequence[Registration]) -> None:
    """Register the clients of the configuration. One that stands as configured is left alone and leaves no event."""
    for one in configured:
        async with database.reading() as session:
            found = await store.find_with_secret(session, one.client_id)
        secret = one.client_secret.get_secret_value()
        keeps_secret = found is not None and await passwords.check(secret, found[1])
        if found is not None and keeps_secret and _stands(found[0], one):
            continue
        secret_hash = found[1] if found is not None and keeps_secret else await passwords.hash(secret)
        async with database.transaction() as session:
            await _put(session, one, secret_hash=secret_hash)


async def _put(session: Session, one: Registration, *, secret_hash: str) -> None:
    client = await store.append(
        session, new_id(), client_id=one.client_id, secret_hash=secret_hash, name=one.name, source=one.source,
        scopes=one.scopes, event_types=one.event_types, created_by=None,
    )  # fmt: skip
    if client is None:
        client = await store.replace(
            session, one.client_id, secret_hash=secret_hash, name=one.name, source=one.source, scopes=one.scopes,
            event_types=one.event_types,
        )  # fmt: skip
    event = new_event(registered(client), subject=f"client/{client.client_id}", actor_type=ActorType.SYSTEM)
    await outbox.emit(session, event)


def registered(client: Client) -> ClientRegistered:
    """What the other services must know of a client."""
    return ClientRegistered(
        client_id=client.client_id,
        name=client.name,
        source=client.source,
        event_types=list(client.event_types),
        scopes=list(client.scopes),
    )


def granted_scopes(client: Client, asked: str | None) -> tuple[str, ...] | None:
    """The scopes of a new token: those asked for, or all of the client's; None when one is asked for that it lacks."""
    if asked is None:
        return client.scopes
    wanted = tuple(dict.fromkeys(asked.split()))
    return wanted if set(wanted) <= set(client.scopes) else None


def _stands(client: Client, configured: Registration) -> bool:
    return (client.name, client.source, client.scopes, client.event_types) == (
        configured.name, configured.source, tuple(configured.scopes), tuple(configured.event_types),
    )  # fmt: skip
