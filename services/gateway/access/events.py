"""Events that the gateway emits in a caller's name."""

from libs.common.events.catalog import MessageData, new_event
from libs.common.events.envelope import Event
from libs.common.identity import ActorType, Caller


def event_of(caller: Caller, data: MessageData, *, subject: str | None, severity: str | None = None) -> Event:
    """An event that says what `caller` did, with the origin of the request."""
    is_known = caller.actor.type is not ActorType.ANONYMOUS
    return new_event(
        data.model_copy(update={"origin": caller.origin}),
        subject=subject,
        actor_id=caller.actor.id if is_known else None,
        actor_type=caller.actor.type.value,
        correlation_id=caller.correlation_id,
        severity=severity,
        traceparent=caller.traceparent,
    )
