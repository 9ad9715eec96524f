"""What is done to registered types, and the events it leaves; and what this gateway knows of them."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from libs.common.database import outbox
from libs.common.database.engine import Database, Session
from libs.common.delivery.senders import RegisteredClient
from libs.common.errors import Conflict, PreconditionFailed
from libs.common.events import asyncapi
from libs.common.events.asyncapi import ForeignType
from libs.common.events.catalog import Change
from libs.common.events.event_types import EventTypeDeleted, EventTypeRegistered
from libs.common.events.registered import Kept, SchemaBook
from libs.common.identity import Caller
from libs.common.json_schema.narrowing import narrowings
from services.gateway.access.cache import ShortCache
from services.gateway.access.events import event_of
from services.gateway.features.event_types import store
from services.gateway.features.event_types.models import (
    ANY_SOURCE,
    MOST_TYPES,
    MOST_VERSIONS,
    RegisteredType,
    Registration,
    event_type_not_found,
    refuse_others,
    refuse_reserved,
)

DOCUMENT_SECONDS = 5.0
_DOCUMENT = "document"


async def register_type(
    session: Session,
    caller: Caller,
    event_type: str,
    new: Registration,
    *,
    clients: Mapping[str, RegisteredClient],
    version: int | None,
    creates_only: bool,
) -> tuple[RegisteredType, bool, bool]:
    """Give a type a schema, or another one as its next version: the type, whether it is new, and whether anything changed.

    `version` is the one that the caller saw, None for any; with `creates_only` a type that is there is `PreconditionFailed`.
    A client registers its own types alone. A version that narrows is taken, and says so.
    """
    refuse_reserved(event_type)
    revision = await store.next_revision(session)
    kept = await store.find(session, event_type)
    old = kept if kept is not None and not kept.is_deleted else None
    source = new.source or (old.source if old is not None else _own_source(caller, clients))
    if caller.actor.client_id is not None:
        for one in {source, old.source if old is not None else source}:
            refuse_others(clients.get(caller.actor.client_id), event_type, source=one)
    _check_version(old, event_type, version=version, creates_only=creates_only)
    if old is not None and _said(old) == (source, new.description, new.json_schema, new.example):
        return old, False, False
    await _check_room(session, kept, old)
    narrows = narrowings(old.schema, orjson.loads(new.json_schema)) if old is not None else []
    made = await store.append_version(
        session, event_type, new, version=1 if kept is None else kept.version + 1, revision=revision, source=source,
        narrows=narrows, registered_by=caller.actor.client_id or caller.actor.id,
    )  # fmt: skip
    data = EventTypeRegistered(
        event_type=event_type, version=made.version, revision=revision, source=source, description=made.description,
        json_schema=made.schema, example=orjson.loads(made.example), narrows=narrows, changes=_changes(old, made),
    )  # fmt: skip
    severity = "warning" if narrows else None
    await outbox.emit(session, event_of(caller, data, subject=f"event_type/{event_type}", severity=severity))
    return made, old is None, True


async def delete_type(
    session: Session,
    caller: Caller,
    event_type: str,
    *,
    clients: Mapping[str, RegisteredClient],
    version: int | None,
) -> None:
    """Take a type's schema away: it may be sent as every unregistered one. Raises `NotFound`; a client's own alone."""
    refuse_reserved(event_type)
    revision = await store.next_revision(session)
    old = await store.find(session, event_type)
    if old is None or old.is_deleted:
        raise event_type_not_found(event_type)
    if caller.actor.client_id is not None:
        refuse_others(clients.get(caller.actor.client_id), event_type, source=old.source)
    _check_version(old, event_type, version=version, creates_only=False)
    await store.mark_deleted(session, event_type, revision=revision)
    data = EventTypeDeleted(event_type=event_type, version=old.version, revision=revision, changes=_changes(old, None))
    await outbox.emit(session, event_of(caller, data, subject=f"event_type/{event_type}", severity="warning"))


class EventTypes:
    """What this gateway knows of registered types: the schemas it judges by, and the AsyncAPI document with them.

    `document` makes the document of Reeve's own types, which takes a fifth of a second of a processor.
    """

    def __init__(self, database: Database, document: Callable[[], Mapping[str, Any]]) -> None:
        self._database = database
        self._make_base = document
        self._base: Mapping[str, Any] | None = None
        self._documents: ShortCache[bytes] = ShortCache(ttl_seconds=DOCUMENT_SECONDS, most_keys=1)
        self.book = SchemaBook(self._revisions, self._kept)

    def evict(self) -> None:
        """Something changed, or may have: read again next time."""
        self.book.forget()
        self._documents.evict()

    async def document(self) -> bytes:
        """The AsyncAPI document of every type, in JSON."""
        known = self._documents.find(_DOCUMENT)
        return known if known is not None else await self._documents.load(_DOCUMENT, self._written)

    async def _written(self) -> bytes:
        if self._base is None:
            # When somebody asks, and beside the requests: a start does not wait for it.
            self._base = await asyncio.to_thread(self._make_base)
        async with self._database.reading() as session:
            found = await store.load_all(session)
        return orjson.dumps(asyncapi.with_foreign(self._base, [_foreign(one) for one in found]))

    async def _revisions(self) -> Mapping[str, int]:
        async with self._database.reading() as session:
            return await store.load_revisions(session)

    async def _kept(self, event_types: Sequence[str]) -> Sequence[Kept]:
        async with self._database.reading() as session:
            return await store.load_kept(session, event_types)


def _own_source(caller: Caller, clients: Mapping[str, RegisteredClient]) -> str:
    own = clients.get(caller.actor.client_id or "")
    return own.source if own is not None else ANY_SOURCE


def _check_version(old: RegisteredType | None, event_type: str, *, version: int | None, creates_only: bool) -> None:
    if creates_only and old is not None:
        raise PreconditionFailed(f"{event_type} is registered already", current_version=old.version)
    if version is None:
        return
    if old is None:
        raise PreconditionFailed(f"{event_type} is not registered, so it has no version {version}")
    if old.version != version:
        raise PreconditionFailed(f"{event_type} has version {old.version}", current_version=old.version)


async def _check_room(session: Session, kept: RegisteredType | None, old: RegisteredType | None) -> None:
    if old is None and await store.count(session) >= MOST_TYPES:
        raise Conflict(
            f"{MOST_TYPES} types are registered, which is the most there may be", code="too_many_event_types"
        )
    if kept is not None and await store.count_versions(session, kept.event_type) >= MOST_VERSIONS:
        raise Conflict(
            f"{kept.event_type} has {MOST_VERSIONS} versions, which is the most there may be: give it a new name",
            code="too_many_versions",
        )


def _said(one: RegisteredType) -> tuple[str, str, str, str]:
    return one.source, one.description, one.json_schema, one.example


def _changes(old: RegisteredType | None, new: RegisteredType | None) -> dict[str, Change]:
    """What differs, field by field; a type that is not there has no fields."""
    before, after = _fields(old), _fields(new)
    names = ("version", "source", "description", "json_schema", "example")
    return {
        name: Change(old=before.get(name), new=after.get(name)) for name in names if before.get(name) != after.get(name)
    }


def _fields(one: RegisteredType | None) -> dict[str, Any]:
    if one is None:
        return {}
    return {
        "version": one.version, "source": one.source, "description": one.description, "json_schema": one.schema,
        "example": orjson.loads(one.example),
    }  # fmt: skip


def _foreign(one: RegisteredType) -> ForeignType:
    return ForeignType(one.event_type, one.source, one.description, one.schema, orjson.loads(one.example))
