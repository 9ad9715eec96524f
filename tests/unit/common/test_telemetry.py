"""Traces: one trace id along the whole way, and spans only of what is sampled."""

from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from libs.common import telemetry

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SAMPLED = f"00-{TRACE}-00f067aa0ba902b7-01"
UNSAMPLED = f"00-{TRACE}-00f067aa0ba902b7-00"


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    """Collect what is exported, with everything sampled that nobody decided about."""
    exporter = InMemorySpanExporter()
    telemetry.configure("settings", sample=1.0, processor=SimpleSpanProcessor(exporter))
    yield exporter
    telemetry.shutdown()


def span_id(span: ReadableSpan) -> str:
    """The hexadecimal id of a span."""
    assert span.context is not None
    return f"{span.context.span_id:016x}"


def parent_id(span: ReadableSpan) -> str | None:
    """The hexadecimal id of a span's parent."""
    return f"{span.parent.span_id:016x}" if span.parent is not None else None


def test_a_traceparent_is_read_and_written_alike() -> None:
    for text in (SAMPLED, UNSAMPLED):
        place = telemetry.parse(text)
        assert place is not None
        assert place.traceparent == text


@pytest.mark.parametrize("flags", ["01", "03", "ff"])
def test_flags_that_we_do_not_know_do_not_hide_the_one_that_we_do(flags: str) -> None:
    place = telemetry.parse(f"00-{TRACE}-00f067aa0ba902b7-{flags}")
    assert place is not None
    assert place.is_sampled


def test_a_later_version_is_read_as_far_as_we_know_it() -> None:
    assert telemetry.parse(f"cc-{TRACE}-00f067aa0ba902b7-01-what-the-future-will-be-like") is not None


@pytest.mark.parametrize(
    "text", [None, "", "00", f"00-{TRACE}", f"{SAMPLED} ", f"{SAMPLED}-x", f"ff-{TRACE}-00f067aa0ba902b7-01"]
)
def test_anything_else_is_ignored(text: str | None) -> None:
    assert telemetry.parse(text) is None


def test_a_new_trace_has_ids_of_its_own_and_is_not_sampled_without_an_exporter() -> None:
    one, two = telemetry.enter(None), telemetry.enter(None)
    assert one.trace_id != two.trace_id
    assert (len(one.trace_id), len(one.span_id), one.is_sampled, one.parent_id) == (32, 16, False, None)
    assert telemetry.parse(one.traceparent) is not None


def test_a_message_is_handled_in_its_senders_trace(spans: InMemorySpanExporter) -> None:
    with telemetry.message_span(SAMPLED, "settings.commands process", count=3):
        here = telemetry.current_traceparent()
    (span,) = spans.get_finished_spans()
    assert here is not None
    assert here.split("-")[1:3] == [TRACE, span_id(span)]
    assert (span.kind, parent_id(span), span.attributes) == (SpanKind.CONSUMER, "00f067aa0ba902b7", {"count": 3})


def test_spans_nest_as_their_blocks_do(spans: InMemorySpanExporter) -> None:
    with telemetry.message_span(SAMPLED, "outer"), telemetry.span("middle"):
        with telemetry.span("first"):
            pass
        with telemetry.span("second"):
            pass
    by_name = {span.name: span for span in spans.get_finished_spans()}
    assert parent_id(by_name["first"]) == parent_id(by_name["second"]) == span_id(by_name["middle"])
    assert parent_id(by_name["middle"]) == span_id(by_name["outer"])


def test_nothing_is_exported_of_a_trace_that_its_sender_did_not_sample(spans: InMemorySpanExporter) -> None:
    with telemetry.message_span(UNSAMPLED, "outer"), telemetry.span("inner"):
        here = telemetry.current_traceparent()
    assert here is not None
    assert here.startswith(f"00-{TRACE}-")
    assert here.endswith("-00")
    assert spans.get_finished_spans() == ()


def test_a_new_trace_begins_without_a_parent(spans: InMemorySpanExporter) -> None:
    with telemetry.message_span(None, "outer"):
        pass
    (span,) = spans.get_finished_spans()
    assert parent_id(span) is None


def test_a_failing_block_is_marked_and_its_error_goes_on(spans: InMemorySpanExporter) -> None:
    with pytest.raises(ValueError, match="no"), telemetry.message_span(SAMPLED, "outer"):
        raise ValueError("no")
    (span,) = spans.get_finished_spans()
    assert span.status.status_code is StatusCode.ERROR
    assert not span.events
    assert telemetry.current_traceparent() is None


def test_about_the_share_asked_for_is_sampled() -> None:
    telemetry.configure("settings", sample=0.25, processor=SimpleSpanProcessor(InMemorySpanExporter()))
    sampled = sum(telemetry.enter(None).is_sampled for _ in range(4000))
    telemetry.shutdown()
    assert 700 < sampled < 1300


def test_a_span_outside_any_trace_is_no_span(spans: InMemorySpanExporter) -> None:
    with telemetry.span("alone"):
        assert telemetry.current_traceparent() is None
    assert spans.get_finished_spans() == ()


def test_after_shutdown_nothing_is_sampled_any_more() -> None:
    exporter = InMemorySpanExporter()
    telemetry.configure("settings", sample=1.0, processor=SimpleSpanProcessor(exporter))
    telemetry.shutdown()
    with telemetry.message_span(SAMPLED, "late"):
        pass
    assert not telemetry.enter(None).is_sampled
    assert exporter.get_finished_spans() == ()
