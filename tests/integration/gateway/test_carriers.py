"""Files of a service, handed on as they come: over a socket and in one process alike."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route

from services.gateway.upstream.client import Carrier, UpstreamBroken
from services.gateway.upstream.http import HttpCarrier
from services.gateway.upstream.inprocess import InProcessCarrier
from tests.support.eventually import eventually
from tests.support.processes import free_port

PART = b"x" * 65_536
PARTS = 400
"""Twenty-five MiB: more than all buffers on the way hold."""


class Depot:
    """A service with one large file, which counts what it has sent of it."""

    def __init__(self) -> None:
        self.sent = 0
        self.app = Starlette(
            routes=[Route("/file", self.file), Route("/none", self.none), Route("/broken", self.broken)]
        )

    async def file(self, request: Request) -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            for _ in range(PARTS):
                self.sent += 1
                yield PART
                await asyncio.sleep(0)

        headers = {"etag": '"1"', "x-inside": "secret", "x-range": request.headers.get("range", "")}
        headers["content-disposition"] = f"attachment; filename={request.headers.get('range', 'whole')}"
        return StreamingResponse(parts(), headers=headers)

    async def none(self, _request: Request) -> JSONResponse:
        return JSONResponse({"detail": {"error": "export_not_found"}}, status_code=404)

    async def broken(self, _request: Request) -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            yield PART
            raise RuntimeError("the disk is gone")

        return StreamingResponse(parts(), headers={"content-length": str(2 * len(PART))})


@pytest.fixture
def depot() -> Depot:
    """A depot."""
    return Depot()


@pytest.fixture(params=["socket", "process"])
async def carrier(request: pytest.FixtureRequest, depot: Depot) -> AsyncIterator[Carrier]:
    """Both ways to the depot."""
    if request.param == "process":
        yield InProcessCarrier({"depot": depot.app})
        return
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(depot.app, host="127.0.0.1", port=port, log_level="critical"))
    serving = asyncio.ensure_future(server.serve())
    await eventually(lambda: server.started)
    one = HttpCarrier({"depot": f"http://127.0.0.1:{port}"})
    yield one
    await one.close()
    server.should_exit = True
    await serving


class Taker:
    """Takes an answer as it comes."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.size = 0
        self.may_go_on = asyncio.Event()

    async def begin(self, status: int, headers: dict[str, str]) -> None:
        self.status, self.headers = status, headers

    async def part(self, data: bytes) -> None:
        await self.may_go_on.wait()
        self.size += len(data)


async def taken(carrier: Carrier, target: str, **headers: str) -> Taker:
    taker = Taker()
    taker.may_go_on.set()
    await carrier.stream("depot", target, headers, begin=taker.begin, part=taker.part)
    return taker


async def test_the_whole_file_comes_with_the_headers_that_belong_to_it(carrier: Carrier) -> None:
    taker = await taken(carrier, "/file", range="bytes=0-")
    assert (taker.status, taker.size) == (200, PARTS * len(PART))
    assert taker.headers["etag"] == '"1"'
    assert taker.headers["content-disposition"] == "attachment; filename=bytes=0-"
    assert "x-inside" not in taker.headers


async def test_a_refusal_comes_through_as_it_is(carrier: Carrier) -> None:
    taker = await taken(carrier, "/none")
    assert taker.status == 404
    assert taker.size > 0


async def test_while_nobody_takes_a_part_the_service_makes_none(carrier: Carrier, depot: Depot) -> None:
    taker = Taker()
    streaming = asyncio.ensure_future(carrier.stream("depot", "/file", {}, begin=taker.begin, part=taker.part))
    await eventually(lambda: taker.status == 200)
    seen: list[int] = []

    def has_settled() -> bool:
        seen.append(depot.sent)
        return len(seen) > 25 and len(set(seen[-25:])) == 1

    await eventually(has_settled)
    assert 0 < depot.sent < PARTS / 2
    taker.may_go_on.set()
    await streaming
    assert (depot.sent, taker.size) == (PARTS, PARTS * len(PART))


async def test_a_service_that_breaks_off_is_no_whole_answer(carrier: Carrier) -> None:
    with pytest.raises((UpstreamBroken, RuntimeError)):
        await taken(carrier, "/broken")


async def test_a_service_that_is_not_there_is_said_to_be() -> None:
    carrier: Any = HttpCarrier({"depot": f"http://127.0.0.1:{free_port()}"})
    with pytest.raises(UpstreamBroken):
        await taken(carrier, "/file")
    await carrier.close()
