"""Server-sent events: one bounded queue a client, frames encoded once, an end that we decide.

A client that reads too slowly loses what waits for it and is told so by a `gap` event; it then reads
what it missed from the owning service. Streams end at shutdown, so that the server need not wait.
"""

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from libs.common import metrics
from libs.common.errors import Unavailable
from libs.common.web.errors import AnswerCutShort

STREAMS = "reeve.streams"
"""Where the edge leaves the application's `Streams` in the ASGI scope."""
HEARTBEAT_SECONDS = 15.0
CHECK_SECONDS = 10.0
"""How often it is asked whether a client may still listen: what was looked up may be five seconds old by then."""
MOST_FRAMES = 256
MOST_CLIENTS = 5000
WRITE_SECONDS = 30.0
"""How long one write may wait for a client that does not read."""
_HEARTBEAT = b": heartbeat\n\n"
_BYE = b"event: end\ndata: {}\n\n"
_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]


def frame(event: str, data: object, event_id: str | None = None) -> bytes:
    """One event as it goes over the wire; `data` becomes JSON on one line. To be encoded once for all clients."""
    head = f"id: {_one_line(event_id)}\n" if event_id is not None else ""
    return f"{head}event: {_one_line(event)}\ndata: ".encode() + orjson.dumps(data, default=str) + b"\n\n"


class Stream:
    """What waits for one client."""

    def __init__(self, *, most_frames: int = MOST_FRAMES, on_gap: Callable[[], None] | None = None) -> None:
        self._most_frames = most_frames
        self._on_gap = on_gap
        self._waiting: deque[bytes] = deque()
        self._dropped = 0
        self._wake = asyncio.Event()
        self.has_ended = False

    def send(self, encoded: bytes) -> None:
        """Queue a frame, never waiting. On overflow all that waits is dropped in favour of one `gap` event."""
        if self.has_ended:
            return
        if len(self._waiting) >= self._most_frames:
            if not self._dropped and self._on_gap is not None:
                self._on_gap()
            self._dropped += len(self._waiting)
            self._waiting.clear()
        self._waiting.append(encoded)
        self._wake.set()

    def __len__(self) -> int:
        return len(self._waiting)

    def end(self) -> None:
        """Send what waits, then close."""
        self.has_ended = True
        self._wake.set()

    async def wait(self, seconds: float) -> bool:
        """Wait for something to send or for the end; False when `seconds` passed without either."""
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return False
        return True

    def take(self) -> bytes:
        """Everything that waits, as one write; after a loss it begins with the `gap` event."""
        self._wake.clear()
        if self.has_ended:
            self._wake.set()
        gap = frame("gap", {"dropped": self._dropped}) if self._dropped else b""
        self._dropped = 0
        taken = gap + b"".join(self._waiting)
        self._waiting.clear()
        return taken


class Streams:
    """All open streams of one application: bounded, counted, and ended together at shutdown."""

    def __init__(self, service: str, *, most_clients: int = MOST_CLIENTS, write_seconds: float = WRITE_SECONDS) -> None:
        self._service = service
        self.most_clients = most_clients
        self.write_seconds = write_seconds
        self._open: set[Stream] = set()
        self._is_closing = False
        metrics.STREAM_CLIENTS.labels(service).set_function(lambda: len(self._open))

    def __len__(self) -> int:
        return len(self._open)

    @contextmanager
    def opened(self, *, most_frames: int = MOST_FRAMES) -> Iterator[Stream]:
        """A new client's stream, for as long as the block lasts. Raises 503 `too_many_streams`."""
        if self._is_closing or len(self._open) >= self.most_clients:
            raise Unavailable(
                "no further live updates can be taken now", code="too_many_streams", retry_after_seconds=5
            )
        stream = Stream(most_frames=most_frames, on_gap=metrics.STREAM_GAPS.labels(self._service).inc)
        self._open.add(stream)
        try:
            yield stream
        finally:
            stream.end()
            self._open.discard(stream)

    def end_all(self) -> None:
        """End every stream and take no new one."""
        self._is_closing = True
        for stream in self._open:
            stream.end()


Subscribe = Callable[[Stream], AbstractAsyncContextManager[None]]
"""Feeds a client's stream for as long as the block lasts; it may first send what the client missed."""


def event_stream(
    request: Request,
    subscribe: Subscribe,
    *,
    still_allowed: Callable[[], Awaitable[bool]] | None = None,
    most_frames: int = MOST_FRAMES,
    heartbeat_seconds: float = HEARTBEAT_SECONDS,
    check_seconds: float = CHECK_SECONDS,
) -> Response:
    """The answer of a route that streams. Ends when the client goes, at shutdown, or when `still_allowed`,
    asked every `check_seconds`, says no. Raises 503 `too_many_streams` before it begins.
    """
    streams: Streams = request.scope[STREAMS]
    return _EventStream(
        streams, subscribe, still_allowed, most_frames, heartbeat_seconds=heartbeat_seconds, check_seconds=check_seconds
    )


class _EventStream(Response):
    def __init__(
        self,
        streams: Streams,
        subscribe: Subscribe,
        still_allowed: Callable[[], Awaitable[bool]] | None,
        most_frames: int,
        *,
        heartbeat_seconds: float,
        check_seconds: float,
    ) -> None:
        super().__init__(media_type="text/event-stream")
        self._streams = streams
        self._subscribe = subscribe
        self._still_allowed = still_allowed
        self._most_frames = most_frames
        self._heartbeat_seconds = heartbeat_seconds
        self._check_seconds = check_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._streams.opened(most_frames=self._most_frames) as stream:
            async with self._subscribe(stream), asyncio.TaskGroup() as group:
                await send({"type": "http.response.start", "status": 200, "headers": list(_HEADERS)})
                watcher = group.create_task(_end_when_gone(receive, stream))
                await self._write_all(stream, send)
                watcher.cancel()

    async def _write_all(self, stream: Stream, send: Send) -> None:
        # Clients that come back at once after a restart would come back together: spread them.
        await self._write(send, b"retry: %d\n\n" % random.randint(1000, 5000))  # noqa: S311
        loop = asyncio.get_running_loop()
        beat = loop.time() + self._heartbeat_seconds
        check = loop.time() + self._check_seconds
        while not stream.has_ended:
            if await stream.wait(min(beat, check) - loop.time()):
                await self._write(send, stream.take())
            if loop.time() >= check:
                check = loop.time() + self._check_seconds
                if self._still_allowed is not None and not await self._still_allowed():
                    break
            if loop.time() >= beat:
                beat = loop.time() + self._heartbeat_seconds
                await self._write(send, _HEARTBEAT)
        await self._write(send, stream.take() + _BYE, more=False)

    async def _write(self, send: Send, encoded: bytes, *, more: bool = True) -> None:
        try:
            async with asyncio.timeout(self._streams.write_seconds):
                await send({"type": "http.response.body", "body": encoded, "more_body": more})
        except TimeoutError:
            raise AnswerCutShort("the client of a stream does not read") from None


async def _end_when_gone(receive: Receive, stream: Stream) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    stream.end()


def _one_line(text: str) -> str:
    return text.replace("\r", " ").replace("\n", " ").replace("\0", " ")
