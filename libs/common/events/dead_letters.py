"""What a service tells of its dead letters when an operator brings them back."""

from typing import Annotated, Any, ClassVar

from pydantic import Field

from libs.common.events.catalog import MessageData

Queue = Annotated[str, Field(max_length=100)]


class DeadLetterReplayed(MessageData):
    """A dead letter took effect after all, in the transaction that says so. `reason` is why it was none of that before."""

    TYPE: ClassVar[str] = "reeve.dead_letter.replayed.v1"
    SOURCE: ClassVar[str] = "*"
    ACTION: ClassVar[str] = "replay_dead_letter"
    EXAMPLE: ClassVar[dict[str, Any]] = {
        "letter_id": "0199a0c0-0000-7000-8000-000000000001", "queue": "notifications.events",
        "reason": "failed 5 times",
    }  # fmt: skip

    letter_id: Annotated[str, Field(max_length=36)]
    queue: Queue
    reason: Annotated[str, Field(max_length=64)]


class DeadLettersRedelivered(MessageData):
    """Messages that the broker had parked were handed to their consumer again: how many of a queue."""

    TYPE: ClassVar[str] = "reeve.dead_letter.redelivered.v1"
    SOURCE: ClassVar[str] = "*"
    ACTION: ClassVar[str] = "redeliver_dead_letters"
    EXAMPLE: ClassVar[dict[str, Any]] = {"queue": "settings.commands", "count": 3}

    queue: Queue
    count: Annotated[int, Field(ge=1, le=2**53 - 1)]
