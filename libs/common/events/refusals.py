"""What a service tells of messages that it refused, whoever sent them."""

from typing import Annotated, Any, ClassVar

from pydantic import Field

from libs.common.events.catalog import MessageData


class MessagesRefused(MessageData):
    """Messages that nobody may apply became dead letters: how many since this was last told of their sender and reason.

    `sender` is the broker's user, or the service whose outbox they come from; the letters themselves stay where they are.
    """

    TYPE: ClassVar[str] = "reeve.message.refused.v1"
    SOURCE: ClassVar[str] = "*"
    ACTION: ClassVar[str] = "refuse_message"
    EXAMPLE: ClassVar[dict[str, Any]] = {
        "queue": "audit.events", "sender": "shop", "reason": "source_not_allowed", "count": 3,
    }  # fmt: skip

    queue: Annotated[str, Field(max_length=100)]
    sender: Annotated[str, Field(max_length=255)]
    reason: Annotated[str, Field(max_length=64)]
    count: Annotated[int, Field(ge=1, le=2**53 - 1)]
