"""A small closed-loop load generator: raw HTTP/1.1 over asyncio, a process of its own, every answer checked.

It costs about 30 microseconds a request, so that what is measured is the server. Closed loop: each
connection sends the next request when the answer to the last one is here, so latencies under overload
are too kind; the paced mode sends at a fixed rate and counts from when a request was due.
"""

import asyncio
import json
import sys
import time
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import urlsplit

import uvloop


@dataclass
class Shot:
    """One request to repeat: its bytes, and a second one in turns when given."""

    requests: list[bytes]
    expect: tuple[int, ...]


@dataclass
class Figures:
    """What one run measured, in seconds."""

    latencies: list[float] = field(default_factory=list)
    failed: int = 0
    first_failure: str = ""
    elapsed: float = 0.0

    def summary(self) -> dict[str, float | int | str]:
        """Throughput and percentiles, in requests per second and milliseconds."""
        ordered = sorted(self.latencies)
        count = len(ordered)

        def at(share: float) -> float:
            return round(ordered[min(count - 1, int(count * share))] * 1000, 3) if count else 0.0

        return {
            "requests": count, "failed": self.failed, "first_failure": self.first_failure,
            "per_second": round(count / self.elapsed, 1) if self.elapsed else 0.0,
            "p50_ms": at(0.50), "p99_ms": at(0.99), "max_ms": at(1.0),
        }  # fmt: skip


class Connection(asyncio.Protocol):
    """One connection; reads answers with Content-Length or without a body."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._waiting: asyncio.Future[int] | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclass of asyncio's.
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(ConnectionError("the server closed the connection"))

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = bytes(self._buffer[:end]).lower()
        at = head.find(b"content-length:")
        length = int(head[at + 15 :].split(b"\r", 1)[0]) if at >= 0 else 0
        if len(self._buffer) >= end + 4 + length and self._waiting is not None:
            status = int(head[9:12])
            del self._buffer[: end + 4 + length]
            self._waiting.set_result(status)

    async def ask(self, request: bytes) -> int:
        """Send a request; the status of its answer."""
        self._waiting = asyncio.get_running_loop().create_future()
        assert self._transport is not None
        self._transport.write(request)
        return await self._waiting


async def closed_loop(url: str, shot: Shot, *, connections: int, seconds: float, warm_up: float = 1.0) -> Figures:
    """`connections` clients, each with one request in flight, for `seconds` after the warm-up."""
    figures, loop = Figures(), asyncio.get_running_loop()
    begin = loop.time() + warm_up
    end = begin + seconds
    await asyncio.gather(*(_client(url, shot, figures, begin, end, start=place) for place in range(connections)))
    figures.elapsed = seconds
    return figures


async def _client(url: str, shot: Shot, figures: Figures, begin: float, end: float, *, start: int) -> None:
    connection, clock, turn = await _connect(url), time.perf_counter, start
    while (now := asyncio.get_running_loop().time()) < end:
        before = clock()
        status = await connection.ask(shot.requests[turn % len(shot.requests)])
        turn += 1
        _count(figures, shot, status, clock() - before, counts=now >= begin)


async def paced(url: str, shot: Shot, *, rate: float, seconds: float, connections: int = 32) -> Figures:
    """A fixed rate; a latency begins when its request was due, whether or not a connection was free."""
    figures, loop = Figures(), asyncio.get_running_loop()
    free: asyncio.Queue[Connection] = asyncio.Queue()
    for _ in range(connections):
        free.put_nowait(await _connect(url))
    begin = loop.time()
    async with asyncio.TaskGroup() as group:
        for number in range(int(rate * seconds)):
            due = begin + number / rate
            await asyncio.sleep(max(0.0, due - loop.time()))
            group.create_task(_due(free, shot, figures, due, number))
    figures.elapsed = loop.time() - begin
    return figures


async def _due(free: "asyncio.Queue[Connection]", shot: Shot, figures: Figures, due: float, number: int) -> None:
    connection = await free.get()
    status = await connection.ask(shot.requests[number % len(shot.requests)])
    free.put_nowait(connection)
    _count(figures, shot, status, asyncio.get_running_loop().time() - due, counts=True)


async def _connect(url: str) -> Connection:
    where = urlsplit(url)
    _, connection = await asyncio.get_running_loop().create_connection(
        Connection, where.hostname or "127.0.0.1", where.port or 80
    )
    return connection


def _count(figures: Figures, shot: Shot, status: int, seconds: float, *, counts: bool) -> None:
    if status not in shot.expect:
        figures.failed += 1
        figures.first_failure = figures.first_failure or f"status {status}"
    elif counts:
        figures.latencies.append(seconds)


def request_bytes(method: str, path: str, *, headers: dict[str, str], body: bytes = b"") -> bytes:
    """A whole HTTP/1.1 request."""
    lines = [f"{method} {path} HTTP/1.1", "host: 127.0.0.1", *(f"{name}: {value}" for name, value in headers.items())]
    if body or method in ("POST", "PUT"):
        lines.append(f"content-length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def main() -> None:
    """Run one job given as JSON on standard input; its figures as JSON on standard output."""
    job = json.load(sys.stdin)
    shot = Shot([bytes.fromhex(one) for one in job["requests"]], tuple(job["expect"]))
    if job["mode"] == "paced":
        run = paced(job["url"], shot, rate=job["rate"], seconds=job["seconds"])
    else:
        run = closed_loop(job["url"], shot, connections=job["connections"], seconds=job["seconds"])
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(json.dumps(runner.run(run).summary()))


if __name__ == "__main__":
    main()
