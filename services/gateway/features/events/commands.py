"""Take events from platform services over HTTP: whole or not at all, durable before the answer."""

import asyncio
from collections.abc import Mapping, Sequence

from libs.common.delivery.senders import RegisteredClient, type_allowed
from libs.common.errors import Forbidden, Invalid
from libs.common.events.all_types import CATALOG
from libs.common.events.envelope import MOST_EVENT_BYTES, Event, MalformedEvent, decode_message, encode
from libs.common.events.registered import SchemaBook
from libs.common.identity import Caller

MOST_EVENTS = 500
TURN_SECONDS = 0.005
"""For how long events of one request are judged before others have their turn."""


def read_events(content_type: str | None, headers: Mapping[str, str], body: bytes) -> list[Event]:
    """The events of one request in structured, batched or binary mode. Raises `Invalid` (422 `invalid_event`)."""
    try:
        events = decode_message(content_type, headers, body)
    except MalformedEvent as error:
        raise Invalid(str(error), code="invalid_event") from error
    if not 1 <= len(events) <= MOST_EVENTS:
        raise Invalid(f"a batch must hold 1..{MOST_EVENTS} events, got {len(events)}", code="invalid_event")
    if len(events) > 1 and len({(event.source, event.id) for event in events}) != len(events):
        raise Invalid("two events of the batch have one source and id", code="invalid_event")
    return events


async def check_events(
    events: Sequence[Event], caller: Caller, clients: Mapping[str, RegisteredClient], registered: SchemaBook
) -> None:
    """Refuse the batch for its first event that this caller may not send, or that nobody could read.

    What passes here is held to no registered schema again on its way: it was judged once, by what held when it came.
    """
    time = asyncio.get_running_loop().time
    until = time() + TURN_SECONDS
    for event in events:
        if time() > until:
            await asyncio.sleep(0)
            until = time() + TURN_SECONDS
        _check_source(event, caller, clients)
        _check_type(event, caller, clients)
        if not CATALOG.knows(event.type):
            raise Invalid(f"{event.type} is not in the catalogue", code="unknown_event_type", event_id=event.id)
        if misfit := CATALOG.check(event) or registered.misfit(event):
            raise Invalid(f"data of {event.type}: {misfit}", code="invalid_event", event_id=event.id)


def attributed(event: Event, caller: Caller) -> Event:
    """The event with what Reeve knows of its way; the number of another system's outbox is not ours."""
    own = event._replace(
        producerseq=None,
        actorid=event.actorid or caller.actor.id,
        actortype=event.actortype or caller.actor.type.value,
        correlationid=event.correlationid or caller.correlation_id,
        traceparent=event.traceparent or caller.traceparent,
    )
    if len(encode(own)) > MOST_EVENT_BYTES:
        raise Invalid(f"an event may have at most {MOST_EVENT_BYTES} bytes", code="invalid_event", event_id=event.id)
    return own


def _check_source(event: Event, caller: Caller, clients: Mapping[str, RegisteredClient]) -> None:
    if caller.actor.client_id is None:
        allowed = any(client.source == event.source for client in clients.values())
    else:
        own = clients.get(caller.actor.client_id)
        allowed = own is not None and own.source == event.source
    if not allowed or event.source.startswith("/reeve/"):
        raise Forbidden(f"you may not speak for {event.source[:100]}", code="source_not_allowed", event_id=event.id)


def _check_type(event: Event, caller: Caller, clients: Mapping[str, RegisteredClient]) -> None:
    own = clients.get(caller.actor.client_id or "")
    allowed = not event.type.startswith("reeve.") and (own is None or type_allowed(event.type, own.event_types))
    if not allowed:
        raise Forbidden(f"you may not send {event.type[:100]}", code="event_type_not_allowed", event_id=event.id)
