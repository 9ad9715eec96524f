"""What became of one attempt to send something, and what a channel is."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from libs.common.events.deliveries import Channel as ChannelName
from libs.common.events.deliveries import Kind, LinkMail, NoticeMail


@dataclass(frozen=True, slots=True)
class Sent:
    """Whoever carries it on has answered for it."""


@dataclass(frozen=True, slots=True)
class RetryLater:
    """It may work another time. `may_have_arrived`: nobody knows whether it was taken, so the next attempt may repeat it."""

    reason: str
    may_have_arrived: bool = False


@dataclass(frozen=True, slots=True)
class Rejected:
    """It will never work. The reason names neither address nor link."""

    reason: str


Outcome = Sent | RetryLater | Rejected


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A link or notices on their way to somebody: what was sealed, and what was not."""

    delivery_id: str
    kind: Kind
    mail: LinkMail | NoticeMail
    created_at: datetime
    expires_at: datetime


class Channel(Protocol):
    """One way out."""

    @property
    def name(self) -> ChannelName: ...

    async def send(self, outgoing: Outgoing) -> Outcome:
        """Send it once, in bounded time. Raises nothing for what the other side does."""
        ...
