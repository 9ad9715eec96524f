"""Traces: W3C trace context everywhere, and spans made by hand that cost next to nothing when not sampled.

Every request and message has a trace context, sampled or not, so that logs, events and audit entries
bear one trace id. Only sampled ones become spans of OpenTelemetry, exported by OTLP over HTTP.
"""

import random
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from time import time_ns

from opentelemetry import trace as api
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, StatusCode, TraceFlags

SHUTDOWN_SECONDS = 5.0

Attribute = str | int | float | bool

_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_MOST_HEADER_CHARACTERS = 256
_NO_SPAN: AbstractContextManager[None] = nullcontext()
_random = random.Random()  # noqa: S311 - ids of traces must be distinct, not secret


@dataclass(frozen=True, slots=True)
class Trace:
    """Where in which trace we are (W3C Trace Context, level 1); ids are lower-case hexadecimal."""

    trace_id: str
    span_id: str
    is_sampled: bool
    parent_id: str | None = None

    @property
    def traceparent(self) -> str:
        """What the next hop is told."""
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.is_sampled else '00'}"


CURRENT: ContextVar[Trace | None] = ContextVar("current_trace", default=None)
"""The trace of whatever is being done now."""


class _ChosenIds(IdGenerator):
    """Gives a span the ids that its `Trace` has borne since it began."""

    trace_id = 0
    span_id = 0

    def generate_trace_id(self) -> int:
        return self.trace_id

    def generate_span_id(self) -> int:
        return self.span_id


class _Tracing:
    def __init__(self) -> None:
        self.sample = 0.0
        self.ids = _ChosenIds()
        self.provider: TracerProvider | None = None
        self.tracer: api.Tracer | None = None


_tracing = _Tracing()


def configure(
    service: str, *, endpoint: str | None = None, sample: float = 0.0, processor: SpanProcessor | None = None
) -> None:
    """Export the sampled share of traces to `endpoint` (OTLP over HTTP), or to `processor`; without either, none."""
    if processor is None and endpoint:
        processor = BatchSpanProcessor(OTLPSpanExporter(endpoint=_traces_url(endpoint), timeout=5))
    if processor is None:
        return
    _tracing.provider = TracerProvider(
        sampler=ALWAYS_ON,
        resource=Resource.create({"service.name": service}),
        id_generator=_tracing.ids,
        shutdown_on_exit=False,
    )
    _tracing.provider.add_span_processor(processor)
    _tracing.tracer = _tracing.provider.get_tracer("reeve")
    _tracing.sample = sample


def shutdown() -> None:
    """Export what is waiting and trace no more. A collector that does not answer gets 5 seconds in all."""
    provider = _tracing.provider
    _tracing.sample, _tracing.provider, _tracing.tracer = 0.0, None, None
    if provider is not None:
        # The exporter tries every batch anew; only a thread of its own can be left behind.
        last = threading.Thread(target=provider.shutdown, daemon=True)
        last.start()
        last.join(SHUTDOWN_SECONDS)


def parse(traceparent: str | None) -> Trace | None:
    """The sender's place, or None when there is none or the header is not valid, which is then ignored."""
    if traceparent is None or len(traceparent) > _MOST_HEADER_CHARACTERS:
        return None
    found = _TRACEPARENT.fullmatch(traceparent)
    if found is None:
        return None
    version, trace_id, span_id, flags, rest = found.groups()
    if version == "ff" or (version == "00" and rest) or not trace_id.strip("0") or not span_id.strip("0"):
        return None
    return Trace(trace_id, span_id, bool(int(flags, 16) & 1))


def enter(traceparent: str | None) -> Trace:
    """A place of our own in the sender's trace, or in a new one; a sender's decision on sampling holds."""
    parent = parse(traceparent) if traceparent is not None else None
    if parent is not None:
        return Trace(parent.trace_id, _new_span_id(), parent.is_sampled, parent.span_id)
    is_sampled = _tracing.sample > 0 and _random.random() < _tracing.sample
    return Trace(f"{_random.getrandbits(128) or 1:032x}", _new_span_id(), is_sampled)


def current_traceparent() -> str | None:
    """The `traceparent` of whatever is being done now, for events, messages and outgoing requests."""
    here = CURRENT.get()
    return here.traceparent if here is not None else None


def span(name: str, **attributes: Attribute) -> AbstractContextManager[None]:
    """A child span around a block of work; nearly free when the current trace is not sampled."""
    here = CURRENT.get()
    if here is None or not here.is_sampled or _tracing.tracer is None:
        return _NO_SPAN
    child = Trace(here.trace_id, _new_span_id(), True, here.span_id)
    return _recorded(child, name, SpanKind.INTERNAL, attributes)


def message_span(traceparent: str | None, name: str, **attributes: Attribute) -> AbstractContextManager[None]:
    """The handling of a message, in its sender's trace; sets the current trace in any case."""
    return _recorded(enter(traceparent), name, SpanKind.CONSUMER, attributes)


def record(
    here: Trace,
    *,
    name: str,
    started_ns: int,
    kind: SpanKind = SpanKind.SERVER,
    attributes: Mapping[str, Attribute] | None = None,
    failed: bool = False,
) -> None:
    """Report the finished work of `here` as one span, from `started_ns` (epoch nanoseconds) until now."""
    if _tracing.tracer is None or not here.is_sampled:
        return
    # No await between choosing the ids and starting the span: one event loop, so nobody else gets them.
    _tracing.ids.trace_id, _tracing.ids.span_id = int(here.trace_id, 16), int(here.span_id, 16)
    finished = _tracing.tracer.start_span(
        name, context=_parent_context(here), kind=kind, attributes=attributes, start_time=started_ns
    )
    if failed:
        finished.set_status(StatusCode.ERROR)
    finished.end()


@contextmanager
def _recorded(here: Trace, name: str, kind: SpanKind, attributes: Mapping[str, Attribute]) -> Iterator[None]:
    token = CURRENT.set(here)
    started_ns, failed = time_ns(), True
    try:
        yield
        failed = False
    finally:
        CURRENT.reset(token)
        record(here, name=name, started_ns=started_ns, kind=kind, attributes=attributes, failed=failed)


def _parent_context(here: Trace) -> Context:
    if here.parent_id is None:
        return Context()
    parent = SpanContext(
        int(here.trace_id, 16), int(here.parent_id, 16), is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED)
    )
    return api.set_span_in_context(NonRecordingSpan(parent), Context())


def _new_span_id() -> str:
    return f"{_random.getrandbits(64) or 1:016x}"


def _traces_url(endpoint: str) -> str:
    """The exporter's address for traces below a collector's base address (OTLP/HTTP, section 'Endpoint URLs')."""
    return endpoint if endpoint.rstrip("/").endswith("/v1/traces") else f"{endpoint.rstrip('/')}/v1/traces"
