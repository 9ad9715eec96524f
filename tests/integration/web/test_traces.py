"""Sampled spans reach a collector over OTLP; a collector that is gone holds nothing up."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from time import monotonic

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from libs.common import telemetry
from tests.support.processes import free_port

SAMPLED = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@contextmanager
def collector() -> Iterator[tuple[str, list[tuple[str, ExportTraceServiceRequest]]]]:
    """The base address of a collector, and what it was sent, by path."""
    received: list[tuple[str, ExportTraceServiceRequest]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            received.append((self.path, ExportTraceServiceRequest.FromString(body)))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", received
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("suffix", ["", "/", "/v1/traces"])
def test_spans_arrive_below_the_collectors_address(suffix: str) -> None:
    with collector() as (address, received):
        telemetry.configure("settings", endpoint=f"{address}{suffix}")
        with telemetry.message_span(SAMPLED, "outer"), telemetry.span("inner", rows=3):
            pass
        telemetry.shutdown()
    ((path, request),) = received
    assert path == "/v1/traces"
    (resource,) = request.resource_spans
    assert {one.key: one.value.string_value for one in resource.resource.attributes}["service.name"] == "settings"
    spans = {span.name: span for span in resource.scope_spans[0].spans}
    assert set(spans) == {"outer", "inner"}
    assert spans["outer"].parent_span_id.hex() == "00f067aa0ba902b7"
    assert spans["inner"].parent_span_id == spans["outer"].span_id


def test_a_collector_that_is_gone_holds_neither_work_nor_the_end_up() -> None:
    telemetry.configure("settings", endpoint=f"http://127.0.0.1:{free_port()}")
    begun = monotonic()
    for _ in range(10_000):
        with telemetry.message_span(SAMPLED, "work"):
            pass
    telemetry.shutdown()
    assert monotonic() - begun < 10
