"""Raising and resolving security events, and seeing to it that somebody hears of critical ones, bus or no bus."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

from prometheus_client import Counter

from libs.common import logs
from libs.common.database import outbox
from libs.common.database.engine import Database, Session, is_transient
from libs.common.errors import Unavailable
from libs.common.events.catalog import Change, new_event
from libs.common.events.security import SecurityEventRaised, SecurityEventResolved
from libs.common.identity import Actor, ActorType, Caller, Level, Origin
from libs.common.ids import new_id
from services.gateway.access.events import event_of
from services.gateway.features.security_events import store
from services.gateway.features.security_events.models import ENVELOPE_SEVERITIES, NewSecurityEvent, SecurityEvent
from services.gateway.upstream.client import Upstream

TELL_SECONDS = 1.0
"""How often it is looked whether the bus has taken what tells of critical events."""
PATIENCE = timedelta(seconds=3)
"""How long the bus has for that, before the notifications service is told directly."""
FIRST_RETRY_SECONDS = 1.0
MOST_RETRY_SECONDS = 30.0
ITSELF = Actor(
    id="gateway", type=ActorType.SYSTEM, username="gateway", role=None, level=Level.NONE, permissions=frozenset()
)

RAISED = Counter("reeve_security_events_total", "Security events raised.", ("type", "severity"))
TOLD = Counter(
    "reeve_security_alerts_total", "Critical security events that notifications was told of, by way.", ("way",)
)
for _way in ("bus", "direct", "failed"):
    # A counter that is there from the start shows its first increase as one.
    TOLD.labels(_way)

log = logs.get("security")


async def raise_events(session: Session, new: Sequence[NewSecurityEvent]) -> list[SecurityEvent]:
    """Keep new security events and announce them; `count_raised` them once that is committed."""
    if not new:
        return []
    raised = await store.append(session, new)
    after = await store.newest_outbox_position(session)
    events = {}
    for one, stored in zip(new, raised, strict=True):
        data = SecurityEventRaised(
            security_event_id=stored.id,
            event_type=one.event_type,
            security_severity=one.severity,
            rule=one.rule,
            subject=one.subject,
            user_id=one.user_id,
            ip_address=one.ip_address,
            description=one.description,
        )
        events[stored.id] = new_event(
            data,
            subject=f"security_event/{stored.id}",
            actor_type=ActorType.SYSTEM,
            severity=ENVELOPE_SEVERITIES[one.severity],
        )
    await outbox.emit(session, *events.values())
    critical = {stored.id: events[stored.id].id for stored in raised if stored.severity == "critical"}
    if critical:
        await store.remember_place(session, critical, after=after)
    return raised


def count_raised(raised: Sequence[SecurityEvent]) -> None:
    """Count what was raised, and log what is critical."""
    for one in raised:
        RAISED.labels(one.event_type, one.severity).inc()
        if one.severity == "critical":
            log.critical("security event", security_event_id=one.id, event_type=one.event_type, subject=one.subject)


async def resolve(session: Session, caller: Caller, event_id: str, *, notes: str) -> SecurityEvent:
    """Say what came of an event. Raises `NotFound`, and `Conflict` where that was said before."""
    resolved = await store.resolve(session, event_id, by=caller.actor.id, notes=notes)
    data = SecurityEventResolved(
        security_event_id=resolved.id,
        event_type=resolved.event_type,
        notes=notes,
        changes={"resolved": Change(old=False, new=True)},
    )
    await outbox.emit(session, event_of(caller, data, subject=f"security_event/{resolved.id}"))
    return resolved


async def tell(database: Database, upstream: Upstream, *, patience: timedelta = PATIENCE) -> int:
    """Tell the notifications service of critical events that the bus has not taken; returns how many it could not be.

    It gets the very event that waits in the outbox, and knows it again when the bus brings it.
    """
    async with database.reading() as session:
        untold = await store.load_untold(session, older_than=patience)
    failed = 0
    for one in untold:
        way = "bus"
        if one.body is not None:
            way = "direct"
            caller = Caller(ITSELF, Origin(), correlation_id=new_id())
            try:
                await upstream.tell("notifications", one.body, caller=caller)
            except Unavailable as error:
                failed += 1
                TOLD.labels("failed").inc()
                log.critical("nobody told of a security event", security_event_id=one.id, error=error.code)
                continue
        async with database.transaction() as session:
            is_news = await store.note_told(session, one.id, by=way)
        if is_news:
            TOLD.labels(way).inc()
    return failed


async def tell_forever(database: Database, upstream: Upstream, *, patience: timedelta = PATIENCE) -> None:
    """See to it that critical events are told of, until cancelled; where nobody can be told, ever more seldom."""
    failures = 0
    while True:
        try:
            failures = failures + 1 if await tell(database, upstream, patience=patience) else 0
        except Exception as error:
            # Nobody is turned away for it.
            failures += 1
            if is_transient(error):
                log.warning("critical security events not looked at", error=type(error).__name__)
            else:
                log.error("critical security events not looked at", exc_info=error)
        await asyncio.sleep(_rest_seconds(failures))


def _rest_seconds(failures: int) -> float:
    if failures == 0:
        return TELL_SECONDS
    return min(FIRST_RETRY_SECONDS * 2.0 ** min(failures, 10), MOST_RETRY_SECONDS)
