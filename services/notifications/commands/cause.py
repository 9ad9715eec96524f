"""What leads to a write, and the events that a write leaves because of it."""

from dataclasses import dataclass
from uuid import UUID

from libs.common.errors import Invalid
from libs.common.events.catalog import MessageData, new_event
from libs.common.events.envelope import Event
from libs.common.identity import Origin

_MOST_ADMIN_CHARACTERS = 255


@dataclass(frozen=True, slots=True)
class Cause:
    """What led to a write, and who acts: it goes into the events that the write leaves."""

    causation_id: str
    correlation_id: str | None
    actor_id: str | None
    actor_type: str | None
    traceparent: str | None
    origin: Origin | None = None

    def event(self, data: MessageData, *, subject: str | None, severity: str | None = None) -> Event:
        """An event that this led to."""
        return new_event(
            data,
            subject=subject,
            actor_id=self.actor_id,
            actor_type=self.actor_type,
            correlation_id=self.correlation_id,
            causation_id=self.causation_id,
            severity=severity,
            traceparent=self.traceparent,
        )

    @property
    def admin_id(self) -> str:
        """The acting administrator, whose state it is. Raises `Invalid` when nobody is named."""
        if not self.actor_id or len(self.actor_id) > _MOST_ADMIN_CHARACTERS:
            raise Invalid("the command names no administrator", code="actor_missing")
        return self.actor_id


def canonical_id(text: str) -> str | None:
    """The canonical text of an id; what is no id names nothing."""
    try:
        return str(UUID(text))
    except ValueError:
        return None
