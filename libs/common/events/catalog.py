"""The catalogue: one pydantic model per message type, and how an event is made from one.

A released type never changes incompatibly; what changes gets a new `.v2` beside it. From these
models come the JSON Schemas, the catalogue endpoint and the AsyncAPI document.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar, Literal, get_args

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from libs.common.events.envelope import Event
from libs.common.identity import Origin
from libs.common.ids import new_id

Severity = Literal["info", "warning", "error", "critical"]
RESERVED = ("reeve.", "platform.")
"""What the types begin with that are Reeve's to define; everybody else's may be sent without being known."""


class Change(BaseModel):
    """One field before and after; masked values read `"[redacted]"`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    old: Any = None
    new: Any = None


class MessageData(BaseModel):
    """The `data` of a Reeve message. Subclasses name their wire type and what an audit entry calls it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    TYPE: ClassVar[str]
    """The wire type, `reeve.<thing>.<past participle>.v1` or `reeve.command.<thing>.<verb>.v1`."""
    SOURCE: ClassVar[str]
    """The `source` that sends it, such as `/reeve/gateway`; `*` for the types any platform may send."""
    ACTION: ClassVar[str]
    """What an audit entry calls it, verb first: `update_setting`."""
    EXAMPLE: ClassVar[Mapping[str, Any]]

    origin: Origin | None = None


class CommandData(MessageData):
    """The `data` of a command. `action` is the audit name of what is asked for."""


class OutcomeData(MessageData):
    """The `data` of an event that ends an operation: the HTTP status and the body to answer.

    An outcome event's `causationid` is the id of the command it answers, which is the operation's id.
    """

    status: int = 200
    result: Any = None


class ApprovableData(MessageData):
    """The `data` of a change that needs four eyes where it gives somebody everything; other changes say nothing here.

    `approval` is by what right it was made: somebody else approved it (`approval_id`), there was nobody else
    (`none_available`), an issuer decides it at each sign-in, or there was nobody at all (`bootstrap`).
    """

    approval: Literal["granted", "none_available", "issuer", "bootstrap"] | None = None
    approval_id: str | None = None


def new_event(
    data: MessageData,
    *,
    subject: str | None,
    actor_id: str | None = None,
    actor_type: str | None = None,
    correlation_id: str | None = None,
    causation_id: str | None = None,
    severity: str | None = None,
    traceparent: str | None = None,
    event_id: str | None = None,
    time: datetime | None = None,
    source: str | None = None,
) -> Event:
    """An event of the type that `data` is the model of, with a new UUIDv7 and the present time."""
    return Event(
        id=event_id or new_id(),
        source=source or data.SOURCE,
        type=data.TYPE,
        time=time or datetime.now(UTC),
        data=data.model_dump(mode="json", exclude_none=True),
        subject=subject,
        actorid=actor_id,
        actortype=actor_type,
        correlationid=correlation_id,
        causationid=causation_id,
        severitytext=severity,
        traceparent=traceparent,
    )


class Catalog:
    """All known types. Built once by `libs.common.events.all_types` and never changed."""

    def __init__(self, models: tuple[type[MessageData], ...]) -> None:
        self._models = {model.TYPE: model for model in models}
        if len(self._models) != len(models):
            raise ValueError("two models claim one message type")

    def __iter__(self) -> Any:
        return iter(self._models.values())

    def find(self, wire_type: str) -> type[MessageData] | None:
        """The model of this wire type, or None."""
        return self._models.get(wire_type)

    def knows(self, wire_type: str) -> bool:
        """Whether this wire type may travel: every type outside `reeve.*` and `platform.*` may."""
        return wire_type in self._models or not wire_type.startswith(RESERVED)

    def check(self, event: Event) -> str | None:
        """Why the event's data does not fit its registered schema; None when it fits or is foreign."""
        model = self._models.get(event.type)
        if model is None:
            return None
        try:
            model.model_validate(event.data)
        except ValidationError as error:
            return _told(_errors(error)[0])
        return None

    def misfit(self, event: Event) -> str | None:
        """The same for an event of our own, which leaves out what is null and may come from a newer release: a member that
        is not known here, or is absent where it may be null, is no misfit."""
        model = self._models.get(event.type)
        if model is None:
            return None
        try:
            model.model_validate(event.data)
        except ValidationError as error:
            wrong = [one for one in _errors(error) if not _is_tolerable(one, model)]
            return _told(wrong[0]) if wrong else None
        return None


def _errors(error: ValidationError) -> list[ErrorDetails]:
    return error.errors(include_url=False, include_input=False, include_context=False)


def _told(error: ErrorDetails) -> str:
    return f"{'.'.join(str(part) for part in error['loc'])}: {error['msg']}"


def _is_tolerable(error: ErrorDetails, model: type[MessageData]) -> bool:
    if error["type"] == "extra_forbidden":
        return True
    field = model.model_fields.get(str(error["loc"][0])) if error["type"] == "missing" and error["loc"] else None
    return field is not None and (len(error["loc"]) > 1 or type(None) in get_args(field.annotation))


def action_of(event: Event, catalog: Catalog) -> str:
    """What an audit entry calls this event: its own `action`, its model's, or its wire type."""
    if isinstance(event.data, dict) and event.type.startswith("reeve."):
        own = event.data.get("action")
        if isinstance(own, str):
            return own
    model = catalog.find(event.type)
    return model.ACTION if model is not None else event.type
