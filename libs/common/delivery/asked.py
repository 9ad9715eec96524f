"""What every handler of commands does first and last: read what is asked and by whom, and answer it."""

from collections.abc import Sequence
from typing import TypeVar

from pydantic import ValidationError

from libs.common.delivery.arrivals import Refused
from libs.common.errors import Invalid
from libs.common.events.catalog import CommandData, MessageData, new_event
from libs.common.events.envelope import Event

MOST_ERRORS = 50
MOST_ACTOR_CHARACTERS = 255

CommandT = TypeVar("CommandT", bound=CommandData)


def read_command(model: type[CommandT], command: Event, *, doing: str, below: Sequence[str] = ("body",)) -> CommandT:
    """The command's data. Only the source that the model names may ask, whoever else may speak on the bus.

    Raises `Refused`, which says that the sender may not be `doing` this, and `Invalid` with places `below` a body.
    """
    if command.source != model.SOURCE:
        raise Refused(f"source_not_allowed: {command.source[:100]} may not {doing}")
    try:
        return model.model_validate(command.data)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)
        errors = [{"loc": [*below, *one["loc"]], "msg": one["msg"], "type": one["type"]} for one in found[:MOST_ERRORS]]
        raise Invalid("the command is not well-formed", code="validation_error", errors=errors) from None


def administrator_of(command: Event) -> str:
    """Who asks, by id. Raises `Invalid` when nobody is named."""
    if not command.actorid or len(command.actorid) > MOST_ACTOR_CHARACTERS:
        raise Invalid("the command names no administrator", code="actor_missing")
    return command.actorid


def outcome_of(command: Event, data: MessageData, *, subject: str | None, source: str | None = None) -> Event:
    """The event that answers a command: in the name of whoever asked, with the command as its cause."""
    return new_event(
        data,
        source=source,
        subject=subject,
        actor_id=command.actorid,
        actor_type=command.actortype,
        correlation_id=command.correlationid,
        causation_id=command.id,
        traceparent=command.traceparent,
    )
