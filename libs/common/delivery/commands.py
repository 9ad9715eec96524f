"""Commands and their replies: durable on the way there, quick on the way back.

The gateway commits a command to its outbox and waits a moment for the outcome on its own reply
queue. The service applies the command once, writes its outcome event to its own outbox in the same
transaction, and sends the same outcome as a reply after the commit. A reply is only speed: the
outcome event completes the operation whichever gateway instance is alive by then.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import groupby
from operator import attrgetter

from libs.common import logs
from libs.common.broker.topology import Queue
from libs.common.broker.transport import Message, Transport, Unconfirmed, Unroutable
from libs.common.crashpoint import crashpoint
from libs.common.database import outbox
from libs.common.database.engine import Database, Session
from libs.common.delivery.arrivals import Again, Arrived, Refused
from libs.common.delivery.asked import outcome_of
from libs.common.delivery.refusals import Refusals
from libs.common.delivery.subscriber import Subscriber
from libs.common.errors import ReeveError
from libs.common.events.catalog import Catalog
from libs.common.events.envelope import BATCH, Event, MalformedEvent, decode_message, encode, pack
from libs.common.events.requests import OperationRejected
from libs.common.ids import new_id

MOST_WAITING = 10_000
"""Requests of one gateway that may wait for replies at once."""

CommandHandler = Callable[[Session, Sequence[Event]], Awaitable[list[Event]]]
"""Applies commands of one type, in order, in the given transaction; returns their outcomes, which the consumer emits."""

log = logs.get("commands")


def one_by_one(apply: Callable[[Session, Event], Awaitable[Event]]) -> CommandHandler:
    """A handler of what applies a single command."""

    async def handler(session: Session, commands: Sequence[Event]) -> list[Event]:
        return [await apply(session, command) for command in commands]

    return handler


class CommandClient:
    """The gateway's end: one reply queue per instance, one future per waiting request."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.reply_queue = f"gateway.replies.{new_id()}"
        self._waiting: dict[str, asyncio.Future[Event]] = {}

    async def run(self) -> None:
        """Resolve waiting requests from the reply queue until cancelled."""
        while True:
            try:
                async with self._transport.replies(self.reply_queue) as subscription:
                    while True:
                        deliveries = await subscription.receive(256)
                        for delivery in deliveries:
                            self._resolve_message(delivery.message)
                        await subscription.settle(deliveries)
            except (OSError, Unconfirmed, Unroutable, TimeoutError) as error:
                log.warning("reply queue broke", error=type(error).__name__)
                await asyncio.sleep(0.5)

    def expect(self, command_id: str) -> asyncio.Future[Event] | None:
        """A future for this command's outcome, to be made before the command is committed; None past the bound."""
        if len(self._waiting) >= MOST_WAITING:
            return None
        future = asyncio.get_running_loop().create_future()
        self._waiting[command_id] = future
        future.add_done_callback(lambda _: self._waiting.pop(command_id, None))
        return future

    def resolve(self, outcome: Event) -> None:
        """Hand an outcome to the request that waits for it, if one does."""
        future = self._waiting.get(outcome.causationid or "")
        if future is not None and not future.done():
            future.set_result(outcome)

    def _resolve_message(self, message: Message) -> None:
        try:
            outcomes = decode_message(message.content_type, message.headers, message.body, trusted=True)
        except MalformedEvent as error:
            log.warning("reply not read", reason=str(error))
            return
        for outcome in outcomes:
            self.resolve(outcome)


class CommandConsumer:
    """The service's end: applies each command once, answers with its outcome event."""

    def __init__(
        self,
        database: Database,
        transport: Transport,
        queue: Queue,
        *,
        source: str,
        handlers: Mapping[str, CommandHandler],
        catalog: Catalog,
    ) -> None:
        self._transport = transport
        self._source = source
        self._handlers = handlers
        self._replies: dict[str, list[bytes]] = {}
        self._guard_from: str | None = None
        self.subscriber = Subscriber(
            database, transport, queue, handle=self._apply, after=self._reply, give_up=self._fail, catalog=catalog,
            refusals=Refusals(source=source, queue=queue.name),
        )  # fmt: skip

    async def run(self) -> None:
        """Consume until cancelled."""
        await self.subscriber.run()

    async def _apply(self, session: Session, arrived: Sequence[Arrived]) -> None:
        """All commands of a batch in one transaction; only when one is refused does each get a savepoint of its own."""
        self._replies = {}
        commands = [command.event for command in arrived]
        try:
            if commands[0].id == self._guard_from:
                outcomes = [await self._guarded(session, command) for command in commands]
            else:
                outcomes = await self._all(session, commands)
        except ReeveError as error:
            # Nothing of this transaction stays: the same batch comes again at once, each command guarded.
            self._guard_from = commands[0].id
            raise Again from error
        await outbox.emit(session, *outcomes)
        replies: dict[str, list[bytes]] = defaultdict(list)
        for command, outcome in zip(arrived, outcomes, strict=True):
            if command.reply_to:
                replies[command.reply_to].append(encode(outcome))
        self._replies = replies

    async def _guarded(self, session: Session, command: Event) -> Event:
        try:
            async with session.begin_nested():
                [outcome] = await self._all(session, [command])
                return outcome
        except ReeveError as error:
            return self._rejection(command, error)

    async def _fail(self, session: Session, command: Arrived) -> None:
        """A command that became a dead letter ends its operation too: nobody polls for ever."""
        error = ReeveError("the command could not be applied", code="command_failed")
        await outbox.emit(session, self._rejection(command.event, error))

    async def _all(self, session: Session, commands: Sequence[Event]) -> list[Event]:
        """The outcomes, in order; neighbours of one type are applied together."""
        outcomes: list[Event] = []
        for kind, neighbours in groupby(commands, key=attrgetter("type")):
            handler = self._handlers.get(kind)
            if handler is None:
                raise Refused(f"unknown_command: {kind}")
            outcomes += await handler(session, list(neighbours))
        return outcomes

    def _rejection(self, command: Event, error: ReeveError) -> Event:
        rejected = OperationRejected(
            operation_id=command.id,
            action=str(command.data.get("action", command.type)),
            status=error.status,
            error=error.detail(),
            origin=command.data.get("origin"),
        )
        return outcome_of(command, rejected, subject=command.subject, source=self._source)

    async def _reply(self, _: Sequence[Arrived]) -> None:
        crashpoint("cons.before_reply")
        for queue, bodies in self._replies.items():
            await self._transport.reply(
                Message(
                    body=pack(bodies),
                    content_type=BATCH,
                    exchange="",
                    routing_key=queue,
                    message_id=new_id(),
                    type="reeve.replies.v1",
                    app_id=self._source.rpartition("/")[2],
                )
            )
