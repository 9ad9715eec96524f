"""The hub: hears every event once per gateway instance and hands it to the clients that may hear it.

A client that falls behind its bounded stream loses frames and is told so by a `gap` event; so is one
whose place the ring no longer holds. Nothing is ever skipped in silence.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from libs.common import logs
from libs.common.broker.transport import Message, Transport, Unconfirmed, Unroutable
from libs.common.delivery.packing import FIRST_NUMBER, LAST_NUMBER
from libs.common.delivery.senders import producer_of
from libs.common.errors import RateLimited
from libs.common.events.envelope import Event, MalformedEvent, decode_message
from libs.common.identity import Actor
from libs.common.web.sse import Stream, frame
from services.gateway.stream import cursor as cursors
from services.gateway.stream.cursor import Cursor
from services.gateway.stream.ring import Heard, Ring
from services.gateway.stream.topics import Topic, hears, said, topics_of

GAP = "gap"
MOST_STREAMS = 5
"""Streams that one administrator may have open in a process at once."""
STREAM_RETRY_SECONDS = 5

log = logs.get("stream")


@dataclass(eq=False, slots=True)
class Client:
    """One open stream: who listens to what, and up to where it was told."""

    actor: Actor
    topics: frozenset[Topic]
    cursor: Cursor
    stream: Stream


class Hub:
    """One live queue of this instance, many clients."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._clients: set[Client] = set()
        self._ring = Ring()
        self._heeding: list[tuple[frozenset[str], Callable[[Event], None]]] = []
        self._heeded: frozenset[str] = frozenset()
        self._on_breaks: list[Callable[[], None]] = []

    def heed(self, types: frozenset[str], on_event: Callable[[Event], None], on_break: Callable[[], None]) -> None:
        """Call `on_event` for the gateway's own events of these types, before any client hears of them, and
        `on_break` when some may have been missed: caches that rely on them must then be emptied. Said once for each cache.
        """
        self._heeding.append((types, on_event))
        self._heeded |= types
        self._on_breaks.append(on_break)

    async def run(self) -> None:
        """Hear until cancelled."""
        while True:
            try:
                async with self._transport.listen(("#",)) as subscription:
                    self._break()
                    while True:
                        deliveries = await subscription.receive(256)
                        for delivery in deliveries:
                            self._hear(delivery.message)
                        await subscription.settle(deliveries)
            except (OSError, Unconfirmed, Unroutable, TimeoutError) as error:
                log.warning("live queue broke", error=type(error).__name__)
                self._break()
                await asyncio.sleep(0.5)

    def join(self, stream: Stream, actor: Actor, topics: frozenset[Topic], last_event_id: str | None) -> Client:
        """A new client, with what it missed already queued, or a `gap` where that cannot be known.

        Raises 429 `too_many_streams` for an actor who has as many as one may have.
        """
        if sum(one.actor.id == actor.id and not one.stream.has_ended for one in self._clients) >= MOST_STREAMS:
            raise RateLimited(
                f"you have {MOST_STREAMS} streams open, which is the most there may be; end one of them",
                code="too_many_streams",
                retry_after_seconds=STREAM_RETRY_SECONDS,
            )
        known = cursors.read(last_event_id) if last_event_id else None
        client = Client(actor=actor, topics=topics, cursor=dict(self._ring.seen), stream=stream)
        if last_event_id and (known is None or not self._ring.holds_all_after(known)):
            stream.send(gap_frame(client.cursor, "unknown_position"))
        elif known is not None:
            client.cursor = dict(known)
            for heard, event in self._ring.after(known):
                self._offer(client, heard.producer, event)
        self._clients.add(client)
        return client

    def leave(self, client: Client) -> None:
        """Forget a client."""
        self._clients.discard(client)

    def has_listeners(self, topic: Topic) -> bool:
        """Whether any client listens to a topic."""
        return any(topic in client.topics for client in self._clients)

    @property
    def clients(self) -> int:
        """Open streams."""
        return len(self._clients)

    def end_where(self, ends: Callable[[Actor], bool]) -> None:
        """End the streams of these actors: signed out, disabled, changed."""
        for client in [one for one in self._clients if ends(one.actor)]:
            client.stream.end()

    def tell(self, topic: Topic, event: Event) -> None:
        """Send an event of this instance's own making (metrics) to the clients of a topic; it has no place."""
        for client in self._clients:
            if topic in client.topics:
                client.stream.send(frame(topic.value, said(topic, event), cursors.write(client.cursor)))

    def _break(self) -> None:
        for on_break in self._on_breaks:
            on_break()

    def _hear(self, message: Message) -> None:
        producer = producer_of(message)
        whole = True
        if producer and FIRST_NUMBER in message.headers:
            first, last = int(message.headers[FIRST_NUMBER]), int(message.headers[LAST_NUMBER])
            whole = self._ring.add(Heard(message, producer, first, last))
        if not whole:
            log.warning("live events were missed", producer=producer)
            self._break()
            for client in self._clients:
                client.stream.send(gap_frame(client.cursor, "missed"))
        wanted = [client for client in self._clients if client.topics & topics_of(message.type)]
        if wanted or message.type in self._heeded:
            self._tell(message, producer, wanted)

    def _tell(self, message: Message, producer: str, wanted: list[Client]) -> None:
        try:
            events = decode_message(message.content_type, message.headers, message.body, trusted=bool(producer))
        except MalformedEvent:
            return
        for event in events:
            if producer == "gateway" and event.type in self._heeded:
                for types, on_event in self._heeding:
                    if event.type in types:
                        on_event(event)
            for client in wanted:
                self._offer(client, producer, event)

    def _offer(self, client: Client, producer: str, event: Event) -> None:
        if producer and event.producerseq is not None:
            client.cursor[producer] = max(event.producerseq, client.cursor.get(producer, 0))
        for topic in client.topics & topics_of(event.type):
            if hears(client.actor, topic, event):
                client.stream.send(frame(topic.value, said(topic, event), cursors.write(client.cursor)))


def gap_frame(cursor: Cursor, reason: str) -> bytes:
    """Tells a client that events were lost to it, and that it should read the lists again."""
    return frame(GAP, {"reason": reason}, cursors.write(cursor))
