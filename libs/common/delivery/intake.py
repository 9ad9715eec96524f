"""What the events of a queue are held against and who takes them: the same for its subscriber and for a replay."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from libs.common.broker.topology import Queue
from libs.common.broker.transport import Message
from libs.common.database import dead_letters, senders
from libs.common.database.dead_letters import DeadLetter
from libs.common.database.engine import Session
from libs.common.delivery.arrivals import Arrived
from libs.common.delivery.senders import RegisteredClient, misfit, producer_of, refusal
from libs.common.events.catalog import Catalog
from libs.common.events.envelope import Event
from libs.common.events.registered import SchemaBook

Handle = Callable[[Session, Sequence[Arrived]], Awaitable[None]]
"""Applies events in order, in the given transaction; raises `Refused` for what never can be applied."""
After = Callable[[Sequence[Arrived]], Awaitable[None]]
"""Told of the events that a committed transaction applied."""


class Letters(Protocol):
    """Where what cannot be taken is kept; `libs.common.database.dead_letters` is one."""

    async def append(self, session: Session, letters: Sequence[DeadLetter]) -> None:
        """Keep these letters, if the session's transaction commits."""
        ...

    async def note_repetition(self, session: Session, letters: Sequence[DeadLetter]) -> None:
        """These came again and lie here already."""
        ...

    async def prune(self, session: Session, *, most_rows: int, older_than_days: float) -> int:
        """Bound what is kept, the oldest first; returns how many letters went."""
        ...

    def elsewhere(self) -> Mapping[str, str]:
        """By the beginnings of reasons: how such letters are replayed where that is not the operator's command."""
        ...


@dataclass(frozen=True, slots=True)
class Intake:
    """One queue, what its events must fit, the handler of those that do, and the place of those that do not."""

    queue: Queue
    handle: Handle
    catalog: Catalog
    after: After | None = None
    letters: Letters = dead_letters
    checks_services: bool = False
    registered: SchemaBook | None = None

    def judge(self, event: Event, message: Message, clients: Mapping[str, RegisteredClient]) -> str | None:
        """Why this event of the message may not come in, by what is known today; None when it may."""
        return refusal(event, message, clients) or misfit(
            event,
            producer_of(message),
            self.catalog,
            checks_services=self.checks_services,
            registered=self.registered.misfit if self.registered is not None else None,
        )


async def load_clients(session: Session) -> dict[str, RegisteredClient]:
    """The registered clients as this service knows them, by client id."""
    rows = await senders.load(session)
    return {key: RegisteredClient(key, source, types) for key, (source, types) in rows.items()}
