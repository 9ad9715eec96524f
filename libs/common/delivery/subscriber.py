"""The subscriber: one transaction per batch of messages, and the acknowledgement after its commit.

Every effect of a message happens once per event: the inbox row is written in the transaction of the
effect. What may pass is retried with back-off and keeps its place; what cannot pass goes to the dead
letters with its reason, alone, while its neighbours are applied.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from time import time_ns

from opentelemetry.trace import SpanKind

from libs.common import logs, telemetry
from libs.common.broker.topology import Queue
from libs.common.broker.transport import Subscription, Transport, Unconfirmed, Unroutable
from libs.common.crashpoint import crashpoint
from libs.common.database import dead_letters, inbox, outbox, senders
from libs.common.database.engine import Database, Session, is_transient
from libs.common.delivery.ahead import Opened, ReadAhead
from libs.common.delivery.arrivals import Again, Arrived, Parked, Refused, alone, arrival_of, culprit, letter_of
from libs.common.delivery.backoff import backoff_seconds
from libs.common.delivery.intake import After, Handle, Intake, Letters, load_clients
from libs.common.delivery.metrics import CONSUMER_RETRIES, DEAD_LETTERS, EVENTS_CONSUMED, INBOX_DUPLICATES
from libs.common.delivery.refusals import Name, Refusals
from libs.common.delivery.senders import RegisteredClient
from libs.common.errors import Unavailable
from libs.common.events.catalog import Catalog
from libs.common.events.event_types import CHANGES
from libs.common.events.registered import SchemaBook

MOST_MESSAGES = 256
"""Messages in one transaction: fewer commits where every message holds one event."""
PREFETCH = 2 * MOST_MESSAGES
"""Messages in hand at once: while one transaction is under way, the messages of the next one come and are decoded."""
FIRST_BACKOFF_SECONDS = 0.05
PRUNE_SECONDS = 600.0
MOST_INBOX_ROWS = 100_000
INBOX_DAYS = 14
MOST_DEAD_LETTERS = 100_000
DEAD_LETTER_DAYS = 90
"""How much of the inbox is kept beyond the watermarks: holes of partial streams, and messages that nobody numbers."""
TURN_SECONDS = 0.005
"""For how long messages are judged before others have their turn; one event may take longer, by its schema."""
TRIES = 5
"""Tries of an event whose failure is of no known kind, before it becomes a dead letter."""
CLIENT_REGISTERED = "reeve.client.registered.v1"
CLIENT_DELETED = "reeve.client.deleted.v1"
GATEWAY = "gateway"
"""The service that says which types are registered."""

log = logs.get("subscriber")

GiveUp = Callable[[Session, Arrived], Awaitable[None]]


class Subscriber:
    """Consumes one durable queue for ever. `handle` gets first-sight events, in order, in one transaction.

    `after` runs when that transaction has committed; `give_up` runs in the transaction that makes an
    event which `handle` could not apply a dead letter. `letters` is where these are kept. With `checks_services` the
    data of Reeve's own services is held against the catalogue as well, as far as `Catalog.misfit` goes. With `registered`
    what platforms send is held to the schemas of their types; `handle` then learns of these from the same queue, so that
    its order decides: what stands behind a change is judged by it, and what stands before is not. With `refusals` the
    outbox tells who sends what is parked.
    """

    def __init__(
        self,
        database: Database,
        transport: Transport,
        queue: Queue,
        *,
        handle: Handle,
        catalog: Catalog,
        after: After | None = None,
        give_up: GiveUp | None = None,
        clients: Sequence[RegisteredClient] = (),
        letters: Letters = dead_letters,
        checks_services: bool = False,
        registered: SchemaBook | None = None,
        refusals: Refusals | None = None,
    ) -> None:
        self.database = database
        self.transport = transport
        self._give_up = give_up
        self._seeds = tuple(clients)
        self._refusals = refusals
        self._clients: dict[str, RegisteredClient] | None = None
        self._pruned = 0.0
        self.intake = Intake(
            queue, handle, catalog, after=after, letters=letters, checks_services=checks_services, registered=registered
        )

    async def run(self) -> None:
        """Consume until cancelled; a broken broker or database is waited for."""
        failures = 0
        while True:
            try:
                async with (
                    self.transport.subscribe(self.intake.queue, prefetch=PREFETCH) as subscription,
                    ReadAhead(subscription, most=MOST_MESSAGES) as ahead,
                ):
                    # Another process may have had this queue meanwhile, and learned from it.
                    self._forget_registered()
                    while True:
                        await self._turn(subscription, await ahead.take())
                        failures = 0
            except (OSError, Unconfirmed, Unroutable, Unavailable, TimeoutError) as error:
                failures += 1
                log.warning("subscription broke", queue=self.intake.queue.name, error=type(error).__name__)
                await asyncio.sleep(backoff_seconds(failures, first_seconds=FIRST_BACKOFF_SECONDS))

    async def _turn(self, subscription: Subscription, messages: Sequence[Opened]) -> None:
        await self.take(messages)
        crashpoint("cons.before_ack")
        await subscription.settle([opened.delivery for opened in messages])
        await self._tell_rest()
        await self._prune()

    async def take(self, messages: Sequence[Opened]) -> None:
        """Commit the effects of these messages, or their dead letters; to settle them is the caller's."""
        for run in _runs(messages):
            await self._take_in(run)

    async def _take_in(self, run: Sequence[Opened]) -> None:
        """Judge these messages by what holds now, and commit their effects."""
        clients = await self._judged_by()
        parked: list[Parked] = []
        arrived: list[Arrived] = []
        time = asyncio.get_running_loop().time
        until = time() + TURN_SECONDS
        for opened in run:
            arrived += self._judged(opened, clients, parked)
            if time() > until:
                await asyncio.sleep(0)
                until = time() + TURN_SECONDS
        await self._apply(arrived, parked)
        if _changes_types(run[-1]):
            self._forget_registered()

    async def _judged_by(self) -> Mapping[str, RegisteredClient]:
        """What judging needs, as new as it has to be. A database that is away is waited for with the messages in hand.

        To give them back and take them again would be a delivery of each, and the broker parks what it delivered 20 times.
        """
        attempt = 0
        while True:
            try:
                if self.intake.registered is not None:
                    await self.intake.registered.refresh()
                return await self._known_clients()
            except Exception as error:
                if not is_transient(error):
                    raise
                attempt += 1
                await self._wait_for_database(attempt, error)

    async def _wait_for_database(self, attempt: int, error: Exception) -> None:
        CONSUMER_RETRIES.labels(self.intake.queue.name).inc()
        log.warning("database is not there", queue=self.intake.queue.name, error=type(error).__name__)
        await asyncio.sleep(backoff_seconds(attempt, first_seconds=FIRST_BACKOFF_SECONDS))

    def _forget_registered(self) -> None:
        if self.intake.registered is not None:
            self.intake.registered.forget()

    def _judged(
        self, opened: Opened, clients: Mapping[str, RegisteredClient], parked: list[Parked]
    ) -> Iterator[Arrived]:
        """The acceptable events of one message; everything else is parked."""
        message, producer = opened.delivery.message, opened.producer
        if opened.fault is not None:
            parked.append(Parked(message, opened.fault, None))
        for event in opened.events:
            one = Arrived(event, producer or message.sender or "", message.sender, message.reply_to, message)
            reason = self.intake.judge(event, message, clients)
            if reason is None:
                yield one
            else:
                by_itself = message if len(opened.events) == 1 else alone(message, event)
                parked.append(Parked(by_itself, reason, arrival_of(one)))

    async def _tell_rest(self) -> None:
        """Tell of what was refused in a minute that has passed since."""
        if self._refusals is not None and (told := self._refusals.due(())):
            with contextlib.suppress(Unavailable):
                async with self.database.transaction() as session:
                    await outbox.emit(session, *self._refusals.events(told))
                self._refusals.note((), told)

    async def _prune(self) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._pruned >= PRUNE_SECONDS:
            self._pruned = now
            with contextlib.suppress(Unavailable):
                async with self.database.transaction() as session:
                    await inbox.prune(session, most_rows=MOST_INBOX_ROWS, older_than_days=INBOX_DAYS)
                    await self.intake.letters.prune(
                        session, most_rows=MOST_DEAD_LETTERS, older_than_days=DEAD_LETTER_DAYS
                    )

    async def _known_clients(self) -> dict[str, RegisteredClient]:
        if self._clients is None:
            async with self.database.transaction() as session:
                for seed in self._seeds:
                    await senders.upsert(
                        session, client_id=seed.client_id, source=seed.source, event_types=seed.event_types
                    )
                self._clients = await load_clients(session)
        return self._clients

    async def _apply(self, arrived: Sequence[Arrived], parked: Sequence[Parked]) -> None:
        """Commit the effects of all of them; transient faults are waited out, a culprit is found alone."""
        attempt = 0
        while True:
            try:
                first, letters = await self._commit(arrived, parked)
            except Again:
                continue
            except Exception as error:
                attempt += 1
                if is_transient(error):
                    await self._wait_for_database(attempt, error)
                    continue
                CONSUMER_RETRIES.labels(self.intake.queue.name).inc()
                if len(arrived) > 1:
                    for one in arrived:
                        await self._apply([one], ())
                    arrived = ()
                    continue
                if not arrived:
                    if all(one.arrival is None for one in parked):
                        # Not even its letter can be stored: the broker's dead-letter queue is what is left.
                        await self._send_letters(parked)
                        return
                    parked = [replace(one, arrival=None, culprit=None) for one in parked]
                    continue
                if isinstance(error, Refused) or attempt >= TRIES:
                    parked = [*parked, culprit(arrived[0], error, attempt)]
                    arrived = ()
                    continue
                await asyncio.sleep(backoff_seconds(attempt, first_seconds=FIRST_BACKOFF_SECONDS))
            else:
                await self._announce(first, letters)
                return

    async def _commit(
        self, arrived: Sequence[Arrived], parked: Sequence[Parked]
    ) -> tuple[Sequence[Arrived], Sequence[Parked]]:
        """The events that were new, and the letters that were, in one transaction."""
        if not arrived and not parked:
            return (), ()
        started_ns = time_ns()
        told: Mapping[Name, int] = {}
        async with self.database.transaction() as session:
            arrivals = [arrival_of(one) for one in arrived]
            numbered = [one.arrival for one in parked if one.arrival is not None]
            sights = await inbox.admit(session, consumer=self.intake.queue.name, arrivals=[*arrivals, *numbered])
            first = [one for one, is_first in zip(arrived, sights, strict=False) if is_first]
            fresh = dict(zip(map(id, numbered), sights[len(arrived) :], strict=True))
            letters = [one for one in parked if one.arrival is None or fresh[id(one.arrival)]]
            if first:
                await self._learn_clients(session, first)
                crashpoint("cons.before_effect")
                await self.intake.handle(session, first)
            if letters:
                await self.intake.letters.append(session, [letter_of(self.intake.queue, one) for one in letters])
                if self._refusals is not None:
                    told = self._refusals.due(letters)
                    await outbox.emit(session, *self._refusals.events(told))
                for one in letters:
                    if one.culprit is not None and self._give_up is not None:
                        await self._give_up(session, one.culprit)
            if len(letters) < len(parked):
                again = [one for one in parked if one.arrival is not None and not fresh[id(one.arrival)]]
                await self.intake.letters.note_repetition(session, [letter_of(self.intake.queue, one) for one in again])
            crashpoint("cons.before_commit")
        if letters and self._refusals is not None:
            self._refusals.note(letters, told)
        self._trace(first, started_ns)
        EVENTS_CONSUMED.labels(self.intake.queue.name).inc(len(first))
        INBOX_DUPLICATES.labels(self.intake.queue.name).inc(len(arrived) - len(first))
        return first, letters

    def _trace(self, first: Sequence[Arrived], started_ns: int) -> None:
        """One span for each applied event of a sampled trace, below the span of whoever sent it."""
        for one in first:
            sent = one.event.traceparent
            if sent is not None and sent.endswith("-01"):
                telemetry.record(
                    telemetry.enter(sent),
                    name=f"{self.intake.queue.name} {one.event.type}",
                    started_ns=started_ns,
                    kind=SpanKind.CONSUMER,
                    attributes={"messaging.system": self.transport.kind, "messaging.message.id": one.event.id},
                )

    async def _announce(self, first: Sequence[Arrived], letters: Sequence[Parked]) -> None:
        """After the commit: the dead letters' copy on the broker, and whoever waits for these events."""
        try:
            await self._send_letters(letters)
        except (Unconfirmed, Unroutable, OSError) as error:
            # The letters themselves are committed; repeating the transaction for their copies would double them.
            log.warning(
                "dead letters not copied to the broker", queue=self.intake.queue.name, error=type(error).__name__
            )
        if self.intake.after is not None and first:
            await self.intake.after(first)

    async def _send_letters(self, letters: Sequence[Parked]) -> None:
        for one in letters:
            DEAD_LETTERS.labels(self.intake.queue.name).inc()
            log.error("dead letter", queue=self.intake.queue.name, message_id=one.message.message_id, reason=one.reason)
            await self.transport.dead_letter(self.intake.queue, one.message, reason=one.reason)

    async def _learn_clients(self, session: Session, first: Sequence[Arrived]) -> None:
        for one in first:
            if one.event.type == CLIENT_REGISTERED:
                found = one.event.data
                await senders.upsert(
                    session, client_id=found["client_id"], source=found["source"], event_types=found["event_types"]
                )
                self._clients = None
            elif one.event.type == CLIENT_DELETED:
                await senders.forget(session, client_id=one.event.data["client_id"])
                self._clients = None


def _runs(messages: Sequence[Opened]) -> Iterator[Sequence[Opened]]:
    """The messages in order, parted behind each that changes what the others are judged by."""
    begin = 0
    for end, opened in enumerate(messages, 1):
        if _changes_types(opened) or end == len(messages):
            yield messages[begin:end]
            begin = end


def _changes_types(opened: Opened) -> bool:
    """Whether a message is the gateway's about registered types; its type is that of all events in it."""
    return opened.delivery.message.type in CHANGES and opened.producer == GATEWAY
