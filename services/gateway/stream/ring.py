"""The last events this instance saw, for clients that reconnect. Bounded by count and bytes."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from libs.common.broker.transport import Message
from libs.common.events.envelope import Event, decode_message
from services.gateway.stream.cursor import Cursor

MOST_MESSAGES = 4_000
MOST_BYTES = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Heard:
    """One message of one producer with the numbers of its first and last event; kept undecoded."""

    message: Message
    producer: str
    first: int
    last: int


class Ring:
    """Remembers messages and knows, per producer, from which number on it remembers all."""

    def __init__(self) -> None:
        self._kept: deque[Heard] = deque()
        self._bytes = 0
        self._floor: Cursor = {}
        self.seen: Cursor = {}

    def add(self, heard: Heard) -> bool:
        """Remember a message. False when events of its producer were missed before it."""
        before = self.seen.get(heard.producer)
        whole = before is None or heard.first <= before + 1
        if before is None or not whole:
            self._floor[heard.producer] = heard.first - 1
        self.seen[heard.producer] = max(heard.last, before or 0)
        self._kept.append(heard)
        self._bytes += len(heard.message.body)
        while len(self._kept) > MOST_MESSAGES or self._bytes > MOST_BYTES:
            gone = self._kept.popleft()
            self._bytes -= len(gone.message.body)
            self._floor[gone.producer] = max(self._floor.get(gone.producer, 0), gone.last)
        return whole

    def holds_all_after(self, cursor: Cursor) -> bool:
        """Whether nothing that came after `cursor` is missing here."""
        return all(cursor.get(producer, 0) >= floor for producer, floor in self._floor.items()) and all(
            number <= self.seen.get(producer, 0) for producer, number in cursor.items()
        )

    def after(self, cursor: Cursor) -> Iterator[tuple[Heard, Event]]:
        """The events after `cursor` in the order they came."""
        for heard in self._kept:
            known = cursor.get(heard.producer, 0)
            if heard.last <= known:
                continue
            message = heard.message
            for event in decode_message(message.content_type, message.headers, message.body, trusted=True):
                if (event.producerseq or 0) > known:
                    yield heard, event
