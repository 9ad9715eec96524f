"""The wire is bounded before a request is one."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from libs.common.web.app import create_app
from libs.common.web.protocol import BoundedProtocol
from libs.common.web.serve import run_services
from libs.common.web.service import Service
from tests.support.processes import free_port


class Impatient(BoundedProtocol):
    """Waits a fifth of a second for a head."""

    head_seconds = 0.2


class Narrow(BoundedProtocol):
    """Has room for one."""

    most_connections = 1


@asynccontextmanager
async def serving(protocol: type[BoundedProtocol] = BoundedProtocol) -> AsyncIterator[int]:
    """The port of a running server."""
    app = create_app(service="wire", title="Wire", version="1", checks={})
    port, stop, ready = free_port(), asyncio.Event(), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(
            run_services(
                [Service("wire", app)],
                listen={"wire": ("127.0.0.1", port)},
                on_ready=ready.set,
                stop=stop,
                protocol=protocol,
            )
        )
        await ready.wait()
        try:
            yield port
        finally:
            stop.set()


async def said(port: int, *parts: bytes) -> tuple[str, bytes]:
    """Send the parts, read until the server closes: the first line and the body of the last answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for part in parts:
        writer.write(part)
        await asyncio.sleep(0.02)
    async with asyncio.timeout(10):
        answer = await reader.read()
    writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    return head.split(b"\r\n")[0].decode(), body


async def test_a_head_without_end_is_refused_and_not_kept() -> None:
    async with serving() as port:
        line, body = await said(port, b"GET / HTTP/1.1\r\nuser-agent: ", *[b"x" * 30_000] * 4)
    assert line == "HTTP/1.1 431 Request Header Fields Too Large"
    assert json.loads(body)["detail"]["error"] == "headers_too_large"


async def test_many_small_headers_are_no_way_around() -> None:
    async with serving() as port:
        line, _ = await said(port, b"GET / HTTP/1.1\r\n", *[b"a: b\r\n" * 5000] * 4)
    assert line.startswith("HTTP/1.1 431")


async def test_heads_are_counted_one_by_one_on_a_connection_that_is_kept() -> None:
    request = b"GET /healthz HTTP/1.1\r\nhost: x\r\nuser-agent: " + b"x" * 30_000 + b"\r\n\r\n"
    last = request.replace(b"host: x", b"host: x\r\nconnection: close")
    async with serving() as port:
        line, body = await said(port, request, request, request, last)
    assert line == "HTTP/1.1 200 OK"
    assert body.endswith(b'{"status":"ok"}')
    assert body.count(b"HTTP/1.1 200 OK") == 3


async def test_trailers_are_not_kept() -> None:
    chunked = b"POST /nowhere HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n0\r\n"
    async with serving() as port:
        line, _ = await said(port, chunked + b"x-request-id: forged-by-trailer\r\n\r\n")
    assert line.startswith("HTTP/1.1 404")


async def test_a_client_that_dribbles_its_head_is_given_up() -> None:
    async with serving(Impatient) as port:
        line, body = await said(port, b"GET / HT")
        silent, nothing = await said(port)
    assert line == "HTTP/1.1 408 Request Timeout"
    assert json.loads(body)["detail"]["error"] == "headers_too_slow"
    assert (silent, nothing) == ("", b"")


async def test_a_connection_too_many_is_refused() -> None:
    async with serving(Narrow) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        line, body = await said(port)
        writer.close()
    assert line == "HTTP/1.1 503 Service Unavailable"
    assert json.loads(body)["detail"]["error"] == "overloaded"
