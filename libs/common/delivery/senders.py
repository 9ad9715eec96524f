"""Who may speak for which source on the bus.

The broker vouches for the connection's user (`user_id` property); this policy says what that user
may send. Our own services speak for themselves, the gateway also for the platforms whose events it
took over HTTP; a registered client speaks for its one source and its types. The development user
`guest` may speak for any registered source.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from libs.common.broker.transport import Message
from libs.common.events.catalog import Catalog
from libs.common.events.envelope import Event

SERVICES = ("gateway", "audit", "settings", "notifications")
SERVICE_USER_PREFIX = "reeve_"
DEVELOPMENT_USER = "guest"


@dataclass(frozen=True, slots=True)
class RegisteredClient:
    """A platform service: its broker user and client id, the source it speaks for, its type patterns."""

    client_id: str
    source: str
    event_types: tuple[str, ...]


@lru_cache(maxsize=1024)
def _pattern(pattern: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in pattern.split("*")))


def type_allowed(event_type: str, patterns: Sequence[str]) -> bool:
    """Whether a type matches one of the patterns; `*` stands for any characters, dots included."""
    return any(_pattern(pattern).fullmatch(event_type) for pattern in patterns)


def producer_of(message: Message) -> str:
    """The service whose outbox a message comes from, or "" when it is not one of ours.

    On RabbitMQ the name in `app_id` counts only when the vouched user is that service's own (or the
    development user), and never in a message that names no user; in one process there is nobody to mistrust.
    """
    if message.app_id not in SERVICES:
        return ""
    if message.sender in (None, DEVELOPMENT_USER, f"{SERVICE_USER_PREFIX}{message.app_id}"):
        return message.app_id
    return ""


def refusal(event: Event, message: Message, clients: Mapping[str, RegisteredClient]) -> str | None:
    """Why this event's sender may not send it; None when it may."""
    producer = producer_of(message)
    if producer:
        vouches = event.source == f"/reeve/{producer}" or (
            producer == "gateway" and not event.source.startswith("/reeve/")
        )
        return None if vouches else f"source_not_allowed: {producer} may not speak for {event.source[:100]}"
    if event.type.startswith("reeve.") or event.source.startswith("/reeve/"):
        return "source_not_allowed: only Reeve's own services send reeve.* events"
    if message.sender == DEVELOPMENT_USER:
        known = any(client.source == event.source for client in clients.values())
        return None if known else f"source_not_allowed: {event.source[:100]} is not registered"
    client = clients.get(message.sender or "")
    if client is None:
        return "sender_not_registered: the broker user is no registered client"
    if event.source != client.source:
        return f"source_not_allowed: {client.client_id} may not speak for {event.source[:100]}"
    if not type_allowed(event.type, client.event_types):
        return f"event_type_not_allowed: {client.client_id} may not send {event.type[:100]}"
    return None


UNKNOWN_TYPE, INVALID = "unknown_event_type", "invalid_event"
"""What the reasons of `misfit` begin with."""


def misfit(
    event: Event,
    producer: str,
    catalog: Catalog,
    *,
    checks_services: bool,
    registered: Callable[[Event], str | None] | None = None,
) -> str | None:
    """Why the event is not what the catalogue says of its type; None when it is, or when nothing is said of it.

    The data of a service of ours is taken on trust unless `checks_services`; then what a newer release added is let through.
    `registered` says whether an event fits what a platform registered for its type. What the gateway hands on was held to that
    when it came, and is not judged a second time by what may hold by now.
    """
    if not catalog.knows(event.type):
        return f"{UNKNOWN_TYPE}: {event.type[:100]}"
    if producer:
        found = catalog.misfit(event) if checks_services else None
    else:
        found = catalog.check(event)
        if found is None and registered is not None:
            found = registered(event)
    return f"{INVALID}: {found}" if found else None
