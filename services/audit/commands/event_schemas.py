"""Learning which types have a schema, in the transaction that makes an entry of what said so."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from libs.common.database.engine import Database, Session
from libs.common.delivery.arrivals import Arrived
from libs.common.events.event_types import CHANGES, EventTypeRegistered
from libs.common.events.registered import Kept, SchemaBook
from services.audit.store import event_schemas as store


async def learn_schemas(session: Session, arrived: Sequence[Arrived]) -> None:
    """Remember what the gateway said of registered types; older news of a type than what is known change nothing."""
    for one in arrived:
        if one.event.type in CHANGES and one.event.source == EventTypeRegistered.SOURCE:
            await store.upsert(session, _learned(one.event.type, one.event.data))


def open_book(database: Database) -> SchemaBook:
    """The schemas that the consumer of events judges by."""

    async def revisions() -> Mapping[str, int]:
        async with database.reading() as session:
            return await store.load_revisions(session)

    async def kept(event_types: Sequence[str]) -> Sequence[Kept]:
        async with database.reading() as session:
            return await store.load_kept(session, event_types)

    return SchemaBook(revisions, kept)


def _learned(wire_type: str, data: Mapping[str, Any]) -> Kept:
    holds = wire_type == EventTypeRegistered.TYPE
    schema = orjson.dumps(data["json_schema"]).decode() if holds else None
    return Kept(str(data["event_type"]), int(data["version"]), int(data["revision"]), schema)
