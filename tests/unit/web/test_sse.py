"""Live updates: bounded, with heartbeats, and ended by us."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from fastapi import FastAPI, Request, Response
from starlette.types import Message

from libs.common.web import sse
from libs.common.web.app import create_app
from libs.common.web.errors import was_cut_short
from libs.common.web.sse import Stream, Streams, event_stream, frame
from services.gateway.access import lifetimes
from tests.support.eventually import eventually
from tests.unit.web.browser import ask


class Listener:
    """A client of `/stream`, and what has reached it."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self._gone = asyncio.Event()
        self.may_read = asyncio.Event()
        self.may_read.set()
        self.headers: dict[str, str] = {}
        self.received = b""
        self.has_ended = False

    async def listen(self) -> None:
        """Stay until the stream ends or `leave` is called."""
        scope = {
            "type": "http",
            "method": "GET",
            "path": "/stream",
            "query_string": b"",
            "root_path": "",
            "headers": [],
        }
        await self._app(scope, self._receive, self._send)

    def leave(self) -> None:
        """Hang up."""
        self._gone.set()

    async def _receive(self) -> Message:
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
            return
        await self.may_read.wait()
        self.received += message["body"]
        self.has_ended = not message.get("more_body", False)


def station(
    *,
    still_allowed: Callable[[], Awaitable[bool]] | None = None,
    heartbeat_seconds: float = 15.0,
    check_seconds: float = 10.0,
    most_frames: int = 256,
    most_clients: int = 5000,
    write_seconds: float = 30.0,
) -> tuple[FastAPI, list[Stream]]:
    """An application with `/stream`, and the streams that listen now."""
    app = create_app(service="station", title="Station", version="1", checks={})
    streams: Streams = app.state.streams
    streams.most_clients = most_clients
    streams.write_seconds = write_seconds
    listening: list[Stream] = []

    @asynccontextmanager
    async def subscribe(stream: Stream) -> AsyncIterator[None]:
        listening.append(stream)
        try:
            yield
        finally:
            listening.remove(stream)

    @app.get("/stream")
    async def stream(request: Request) -> Response:
        return event_stream(
            request,
            subscribe,
            still_allowed=still_allowed,
            heartbeat_seconds=heartbeat_seconds,
            check_seconds=check_seconds,
            most_frames=most_frames,
        )

    return app, listening


@asynccontextmanager
async def tuned_in(app: FastAPI, listening: list[Stream]) -> AsyncIterator[Listener]:
    """A client that listens as long as the block lasts."""
    client = Listener(app)
    async with asyncio.TaskGroup() as group:
        group.create_task(client.listen())
        await eventually(lambda: b"retry:" in client.received)
        yield client
        client.leave()
    assert client.has_ended
    assert not listening


def test_a_frame_has_its_id_its_name_and_json_on_one_line() -> None:
    assert frame("alert", {"title": "a\nb"}, "17") == b'id: 17\nevent: alert\ndata: {"title":"a\\nb"}\n\n'


@pytest.mark.parametrize("evil", ["a\nevent: admin", "a\r\n\r\ndata: x", "a\0b"])
def test_no_id_or_name_can_forge_a_line(evil: str) -> None:
    assert frame(evil, 1, evil).count(b"\n") == 4
    assert b"\r" not in frame(evil, 1, evil)
    assert b"\0" not in frame(evil, 1, evil)


async def test_frames_arrive_in_order_with_the_headers_of_a_stream() -> None:
    app, listening = station()
    async with tuned_in(app, listening) as client:
        for number in range(3):
            listening[0].send(frame("tick", number))
        await eventually(lambda: b"data: 2" in client.received)
    assert client.received.index(b"data: 0") < client.received.index(b"data: 1") < client.received.index(b"data: 2")
    assert client.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert client.headers["cache-control"] == "no-store"
    assert client.headers["x-accel-buffering"] == "no"


async def test_a_client_that_does_not_read_is_told_of_the_gap_and_holds_no_memory() -> None:
    app, listening = station(most_frames=8)
    async with tuned_in(app, listening) as client:
        client.may_read.clear()
        listening[0].send(frame("tick", -1))
        await asyncio.sleep(0)
        for number in range(100):
            listening[0].send(frame("tick", number))
        assert len(listening[0]) <= 8
        client.may_read.set()
        await eventually(lambda: b"data: 99" in client.received)
    assert client.received.count(b"event: gap\n") == 1
    assert client.received.index(b"event: gap") < client.received.index(b"data: 99")


async def test_what_was_dropped_and_what_arrived_is_all_there_was() -> None:
    stream = Stream(most_frames=4)
    for number in range(11):
        stream.send(frame("tick", number))
    taken = stream.take()
    assert taken.startswith(frame("gap", {"dropped": 8}))
    assert taken.count(b"event: tick") == 3
    stream.send(frame("tick", 11))
    assert stream.take() == frame("tick", 11)


async def test_a_silent_stream_beats() -> None:
    app, listening = station(heartbeat_seconds=0.01)
    async with tuned_in(app, listening) as client:
        await eventually(lambda: client.received.count(b": heartbeat\n\n") >= 3)


async def test_the_usual_heartbeat_is_fifteen_seconds() -> None:
    assert sse.HEARTBEAT_SECONDS == 15


async def test_what_was_looked_up_just_before_its_end_is_believed_for_fifteen_seconds_at_most() -> None:
    assert sse.CHECK_SECONDS + lifetimes.CACHE_SECONDS <= 15


async def test_a_client_that_may_no_longer_listen_is_sent_away() -> None:
    allowed = True

    async def still_allowed() -> bool:
        return allowed

    app, listening = station(still_allowed=still_allowed, heartbeat_seconds=0.01, check_seconds=0.01)
    async with tuned_in(app, listening) as client:
        await eventually(lambda: b"heartbeat" in client.received)
        allowed = False
        await eventually(lambda: client.has_ended)


async def test_a_busy_stream_is_checked_as_often() -> None:
    asked = 0

    async def still_allowed() -> bool:
        nonlocal asked
        asked += 1
        return asked < 3

    app, listening = station(still_allowed=still_allowed, check_seconds=0.02)
    async with tuned_in(app, listening) as client:

        def keep_busy() -> bool:
            if listening:
                listening[0].send(frame("tick", 1))
            return client.has_ended

        await eventually(keep_busy)
    assert asked == 3


async def test_shutdown_sends_what_waits_and_ends_every_stream() -> None:
    app, listening = station()
    async with tuned_in(app, listening) as one, tuned_in(app, listening) as two:
        listening[0].send(frame("tick", 1))
        app.state.streams.end_all()
        await eventually(lambda: one.has_ended and two.has_ended)
    assert b"data: 1" in one.received
    assert one.received.endswith(b"event: end\ndata: {}\n\n")


async def test_no_stream_begins_once_the_end_has() -> None:
    app, _ = station()
    app.state.streams.end_all()
    answer = await ask(app, "GET", "/stream")
    assert (answer.status, answer.error) == (503, "too_many_streams")


async def test_a_client_too_many_is_refused() -> None:
    app, listening = station(most_clients=1)
    async with tuned_in(app, listening):
        answer = await ask(app, "GET", "/stream")
        assert (answer.status, answer.error, answer.headers["retry-after"]) == (503, "too_many_streams", "5")
    assert len(app.state.streams) == 0


async def test_a_client_that_never_reads_again_is_cut_off_and_nobody_is_called(
    capsys: pytest.CaptureFixture[str],
) -> None:
    app, listening = station(write_seconds=0.02)
    client = Listener(app)
    client.may_read.clear()
    with pytest.raises(ExceptionGroup) as cut:
        await client.listen()
    assert was_cut_short(cut.value)
    assert not listening
    assert capsys.readouterr().err == ""
