"""The edge: ids, traces, headers, limits and measures of every request."""

import asyncio
import re
from collections.abc import Iterator
from uuid import UUID

import pytest
from fastapi import WebSocket
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import REGISTRY
from starlette.types import Message

from libs.common import telemetry
from libs.common.web.app import create_app
from tests.unit.web.browser import ask
from tests.unit.web.shop import TIGHT, open_shop, the_shop

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SAMPLED = f"00-{TRACE}-00f067aa0ba902b7-01"
UNSAMPLED = f"00-{TRACE}-00f067aa0ba902b7-00"


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    """Collect what is exported, with nothing sampled but what a caller asks for."""
    exporter = InMemorySpanExporter()
    telemetry.configure("shop", processor=SimpleSpanProcessor(exporter))
    yield exporter
    telemetry.shutdown()


@pytest.mark.parametrize("offered", ["request-1", "a" * 128, "A.b_c-1234"])
async def test_the_callers_request_id_is_kept(offered: str) -> None:
    answer = await ask(the_shop(), "GET", "/api/shop/articles", headers=[("X-Request-ID", offered)])
    assert answer.headers["x-request-id"] == offered


@pytest.mark.parametrize("offered", ["short", "a" * 129, "with space", "with\x1bescape", "späße-größe", ""])
async def test_any_other_request_id_is_replaced_by_a_new_one(offered: str) -> None:
    answer = await ask(the_shop(), "GET", "/api/shop/articles", headers=[("X-Request-ID", offered)])
    assert UUID(answer.headers["x-request-id"]).version == 7


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/shop/articles", 200),
        ("GET", "/nowhere", 404),
        ("PATCH", "/api/shop/articles", 405),
        ("POST", "/api/shop/articles/fail/crash", 500),
        ("GET", "/healthz", 200),
        ("GET", "/api/shop/articles?x=1", 422),
    ],
)
async def test_every_answer_bears_the_headers_of_the_house(method: str, path: str, status: int) -> None:
    answer = await ask(the_shop(), method, path)
    assert answer.status == status
    assert answer.headers["x-request-id"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]


async def test_the_callers_trace_goes_on_with_a_place_of_our_own() -> None:
    answer = await ask(the_shop(), "GET", "/api/shop/articles/tea", headers=[("traceparent", UNSAMPLED)])
    version, trace, span, flags = answer.json["state"]["traceparent"].split("-")
    assert (version, trace, flags) == ("00", TRACE, "00")
    assert span != "00f067aa0ba902b7"


@pytest.mark.parametrize(
    "broken",
    [
        f"00-{'0' * 32}-00f067aa0ba902b7-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"ff-{TRACE}-00f067aa0ba902b7-01",
        f"00-{TRACE.upper()}-00f067aa0ba902b7-01",
        f"{SAMPLED}-more",
        "garbage",
        "0" * 1000,
    ],
)
async def test_a_broken_traceparent_begins_a_new_trace(broken: str) -> None:
    answer = await ask(the_shop(), "GET", "/api/shop/articles/tea", headers=[("traceparent", broken)])
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-00", answer.json["state"]["traceparent"])
    assert TRACE not in answer.json["state"]["traceparent"].lower()


async def test_a_sampled_request_becomes_a_span_below_its_callers(spans: InMemorySpanExporter) -> None:
    answer = await ask(the_shop(), "GET", "/api/shop/articles/tea", headers=[("traceparent", SAMPLED)])
    (span,) = spans.get_finished_spans()
    assert span.context is not None
    assert span.parent is not None
    assert span.name == "GET /api/shop/articles/{name}"
    assert f"{span.context.trace_id:032x}" == TRACE
    assert f"{span.parent.span_id:016x}" == "00f067aa0ba902b7"
    assert f"{span.context.span_id:016x}" == answer.json["state"]["traceparent"].split("-")[2]
    assert span.attributes is not None
    assert span.attributes["http.response.status_code"] == 200


async def test_a_request_that_is_not_sampled_leaves_no_span(spans: InMemorySpanExporter) -> None:
    await ask(the_shop(), "GET", "/api/shop/articles/tea", headers=[("traceparent", UNSAMPLED)])
    await ask(the_shop(), "GET", "/api/shop/articles/tea")
    assert spans.get_finished_spans() == ()


def count(route: str, method: str, status: int) -> float:
    labels = {"service": "shop", "route": route, "method": method, "status": str(status)}
    return REGISTRY.get_sample_value("reeve_http_requests_total", labels) or 0.0


@pytest.mark.parametrize(
    ("method", "path", "route", "label", "status"),
    [
        ("GET", "/api/shop/articles/tea", "/api/shop/articles/{name}", "GET", 200),
        ("PATCH", "/api/shop/articles/tea", "/api/shop/articles/{name}", "PATCH", 405),
        ("GET", "/random/4711", "unmatched", "GET", 404),
        ("GET", "/healthz", "/healthz", "GET", 200),
        ("BREW", "/random/4711", "unmatched", "other", 404),
    ],
)
async def test_requests_are_counted_by_template_and_never_by_path(
    method: str, path: str, route: str, label: str, status: int
) -> None:
    before = count(route, label, status)
    await ask(the_shop(), method, path)
    assert count(route, label, status) == before + 1


async def test_too_many_requests_in_flight_are_shed_with_503_and_probes_are_not() -> None:
    shop = open_shop(limits=TIGHT)
    entered = asyncio.Semaphore(0)
    leave = asyncio.Event()

    @shop.get("/slow")
    async def slow() -> None:
        entered.release()
        await leave.wait()

    async with asyncio.TaskGroup() as group:
        for _ in range(2):
            group.create_task(ask(shop, "GET", "/slow"))
        for _ in range(2):
            await entered.acquire()
        shed = await ask(shop, "GET", "/api/shop/articles")
        probe = await ask(shop, "GET", "/healthz")
        leave.set()
    assert (shed.status, shed.error, shed.headers["retry-after"]) == (503, "overloaded", "1")
    assert probe.status == 200
    assert (await ask(shop, "GET", "/api/shop/articles")).status == 200


async def test_a_body_that_does_not_come_is_not_waited_for_for_ever() -> None:
    shop = open_shop(limits=TIGHT)
    sent: list[Message] = []
    scope = {
        "type": "http", "method": "PUT", "path": "/api/shop/articles/tea", "query_string": b"", "root_path": "",
        "headers": [(b"content-length", b"10"), (b"content-type", b"application/json")],
    }  # fmt: skip

    async def never() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Message) -> None:
        sent.append(message)

    await shop(scope, never, send)
    assert sent[0]["status"] == 408


async def test_an_error_inside_a_mounted_application_is_answered_by_the_outer_edge() -> None:
    shop = open_shop()
    inner = create_app(service="inner", title="Inner", version="1", checks={})

    @inner.get("/things/{id}")
    async def thing(id: str) -> None:  # noqa: A002
        raise RuntimeError(id)

    shop.mount("/mounted", inner)
    crashed = await ask(shop, "GET", "/mounted/things/1")
    refused = await ask(shop, "PUT", "/mounted/things/1")
    assert (crashed.status, crashed.error) == (500, "internal_error")
    assert (refused.status, refused.headers["allow"]) == (405, "GET")
    assert count("/mounted/things/{id}", "PUT", 405) >= 1


async def test_the_description_names_our_error_shape_for_every_operation() -> None:
    shop = open_shop(openapi_url="/openapi.json")
    described = (await ask(shop, "GET", "/openapi.json")).json
    operations = [one for path in described["paths"].values() for one in path.values()]
    assert operations
    reference = {"$ref": "#/components/schemas/Error"}
    assert all(one["responses"]["default"]["content"]["application/json"]["schema"] == reference for one in operations)
    assert "HTTPValidationError" not in str(described)


async def websocket(app: object, path: str) -> list[Message]:
    """Open a websocket and gather what the application sends."""
    sent: list[Message] = []
    scope = {"type": "websocket", "path": path, "query_string": b"", "root_path": "", "headers": [], "subprotocols": []}

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, send)  # type: ignore[operator]
    return sent


async def test_a_websocket_to_nowhere_is_closed() -> None:
    assert (await websocket(open_shop(), "/nowhere"))[-1]["type"] == "websocket.close"


async def test_a_websocket_that_fails_is_closed_and_tells_nothing_of_the_inside() -> None:
    shop = open_shop()

    @shop.websocket("/ws")
    async def fail(_socket: WebSocket) -> None:
        raise RuntimeError("hunter2")

    assert await websocket(shop, "/ws") == [{"type": "websocket.close", "code": 1011, "reason": "internal_error"}]
