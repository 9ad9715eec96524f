"""What is declared on the broker, in one place: exchanges, queues, bindings and limits."""

from dataclasses import dataclass

EVENTS = "reeve.events"
"""Topic exchange of every event; the routing key is the event's type."""
COMMANDS = "reeve.commands"
"""Direct exchange of every command; the routing key is the name of the service's command queue."""
DEAD = "reeve.dead"
"""Direct exchange of dead letters; the routing key is the name of the queue they come from."""

MOST_QUEUE_LENGTH = 1_000_000
"""Messages a consumer's queue holds before the broker refuses to take more (reject-publish)."""
MOST_DEAD_LENGTH = 100_000
MOST_LISTENED = 10_000
"""Events that a listener holds before the oldest are dropped."""
MOST_REPLIES = 10_000
"""Replies that a reply queue holds before the oldest are dropped."""
DELIVERY_LIMIT = 20
"""Deliveries of one message before the broker itself dead-letters it: the net under our own count."""


@dataclass(frozen=True, slots=True)
class Queue:
    """A durable consumer queue, its bindings on one exchange, and whether one consumer at a time reads it."""

    name: str
    exchange: str
    bindings: tuple[str, ...]
    single_active: bool = True
    most_length: int = MOST_QUEUE_LENGTH
    """Messages it holds before a publisher is refused with `Unroutable`."""

    @property
    def dead(self) -> str:
        """The name of its dead-letter queue."""
        return f"{self.name}.dead"


AUDIT_EVENTS = Queue("audit.events", EVENTS, ("#",))
AUDIT_COMMANDS = Queue("audit.commands", COMMANDS, ("audit.commands",))
SETTINGS_COMMANDS = Queue("settings.commands", COMMANDS, ("settings.commands",))
SETTINGS_EVENTS = Queue("settings.events", EVENTS, ("reeve.client.#", "reeve.user.erased.#"))
NOTIFICATIONS_COMMANDS = Queue("notifications.commands", COMMANDS, ("notifications.commands",))
NOTIFICATIONS_EVENTS = Queue("notifications.events", EVENTS, ("#",))
GATEWAY_OUTCOMES = Queue(
    "gateway.outcomes", EVENTS,
    ("reeve.operation.rejected.#", "reeve.setting.#", "reeve.notification.#", "reeve.alert.#", "reeve.export.#",
     "reeve.saved_search.#", "reeve.redaction.#", "reeve.quarantine.#", "reeve.sink.#",
     "reeve.audit.retention.#", "reeve.message.refused.#"),
)  # fmt: skip

QUEUES = (
    AUDIT_EVENTS, AUDIT_COMMANDS, SETTINGS_COMMANDS, SETTINGS_EVENTS, NOTIFICATIONS_COMMANDS, NOTIFICATIONS_EVENTS, GATEWAY_OUTCOMES,
)  # fmt: skip
