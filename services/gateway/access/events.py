"""Events that the gateway emits in a caller's name."""

from libs.common.events.access import AccessEnded, EndReason
from libs.common.events.catalog import Change, MessageData, new_event
from libs.common.events.envelope import Event, rfc3339
from libs.common.identity import ActorType, Caller
from services.gateway.access.store import EndedGrant


def event_of(
    caller: Caller,
    data: MessageData,
    *,
    subject: str | None,
    severity: str | None = None,
    event_id: str | None = None,
    causation_id: str | None = None,
) -> Event:
    """An event that says what `caller` did, with the origin of the request. `causation_id` is the event it is part of."""
    is_known = caller.actor.type is not ActorType.ANONYMOUS
    return new_event(
        data.model_copy(update={"origin": caller.origin}),
        subject=subject,
        actor_id=caller.actor.id if is_known else None,
        actor_type=caller.actor.type.value,
        correlation_id=caller.correlation_id,
        severity=severity,
        event_id=event_id,
        causation_id=causation_id,
        traceparent=caller.traceparent,
    )


def access_ended(grant: EndedGrant, reason: EndReason) -> AccessEnded:
    """What is told of a grant that is over."""
    return AccessEnded(
        request_id=grant.id,
        user_id=grant.user_id,
        permission=grant.permission,
        until=rfc3339(grant.until),
        reason=reason,
        changes={grant.permission: Change(old=True, new=False)},
    )
