"""Commands in: each is checked against its model once more and applied in the consumer's transaction."""

from collections.abc import Awaitable, Mapping
from datetime import UTC, datetime
from typing import Protocol, TypeVar

from pydantic import ValidationError

from libs.common.database.engine import Session
from libs.common.delivery.commands import CommandHandler, one_by_one
from libs.common.errors import Invalid
from libs.common.events import notifications as messages
from libs.common.events.catalog import CommandData
from libs.common.events.envelope import Event
from services.notifications.commands import alerts, notifications
from services.notifications.commands.cause import Cause

D = TypeVar("D", bound=CommandData)
D_contra = TypeVar("D_contra", bound=CommandData, contravariant=True)


class Act(Protocol[D_contra]):
    """One of the functions of `commands`."""

    def __call__(self, session: Session, cause: Cause, asked: D_contra, /, *, now: datetime) -> Awaitable[Event]: ...


def _handler(model: type[D], act: Act[D]) -> CommandHandler:
    async def apply(session: Session, command: Event) -> Event:
        asked = _read(model, command)
        cause = Cause(
            causation_id=command.id,
            correlation_id=command.correlationid,
            actor_id=command.actorid,
            actor_type=command.actortype,
            traceparent=command.traceparent,
            origin=asked.origin,
        )
        return await act(session, cause, asked, now=datetime.now(UTC))

    return one_by_one(apply)


def _read(model: type[D], command: Event) -> D:
    try:
        return model.model_validate(command.data)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        errors = [{"loc": ["body", *one["loc"]], "msg": one["msg"], "type": one["type"]} for one in found[:50]]
        place = ".".join(str(part) for part in errors[0]["loc"])
        raise Invalid(f"{place}: {errors[0]['msg']}", code="validation_error", errors=errors) from None


COMMANDS: Mapping[str, CommandHandler] = {
    messages.CreateNotification.TYPE: _handler(messages.CreateNotification, notifications.create_notification),
    messages.ReadNotification.TYPE: _handler(messages.ReadNotification, notifications.read_notification),
    messages.UnreadNotification.TYPE: _handler(messages.UnreadNotification, notifications.unread_notification),
    messages.ReadAllNotifications.TYPE: _handler(messages.ReadAllNotifications, notifications.read_all),
    messages.DeleteNotification.TYPE: _handler(messages.DeleteNotification, notifications.delete_notification),
    messages.RaiseAlert.TYPE: _handler(messages.RaiseAlert, alerts.raise_alert),
    messages.ResolveAlert.TYPE: _handler(messages.ResolveAlert, alerts.resolve_alert),
}
"""By wire type."""
