"""Structured logs: one JSON object a line on stderr, with the service and the request it belongs to.

Control characters and line separators never reach the terminal raw, long texts are cut, and broken
UTF-8 is repaired: whatever a caller sends, one call makes exactly one line.
"""

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from contextvars import ContextVar
from typing import Protocol, TextIO, cast

import orjson
import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

MOST_TEXT_CHARACTERS = 2000
MOST_TRACE_CHARACTERS = 20_000
_RAW = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_PYDANTIC_INPUT = re.compile(r"input_value=.*?, input_type=", re.DOTALL)
_MOST_DEPTH = 6
_MOST_ITEMS = 100


class _State:
    is_debug = False


_state = _State()


class Scope(Protocol):
    """What a log line says about the request or message in whose course it was written."""

    @property
    def request_id(self) -> str: ...

    @property
    def trace_id(self) -> str: ...


SCOPE: ContextVar[Scope | None] = ContextVar("log_scope", default=None)
"""The request or message now being worked on; the web and delivery layers set it."""


def configure(service: str, level: str = "info") -> None:
    """Send everything, the standard library's loggers included, to stderr as JSON lines of `service`."""
    number = getattr(logging, level.upper())
    configure_structlog(service, number)
    handler = _Stderr()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*_shared(), structlog.stdlib.ExtraAdder(), _logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _service(service), render],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(number)
    _state.is_debug = number <= logging.DEBUG


def is_debug() -> bool:
    """Whether debug lines are written; to be asked before arranging one on a hot path."""
    return _state.is_debug


def get(name: str) -> FilteringBoundLogger:
    """The logger of a module: `log = logs.get(__name__)`, then a fixed phrase plus fields."""
    return cast("FilteringBoundLogger", structlog.get_logger(module=name))


def render(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    """One line of JSON: first time, level, service and event, then the rest."""
    trace = event.pop("exception", None)
    line: dict[str, object] = {name: event.pop(name, None) for name in ("time", "level", "service")}
    line["event"] = safe(event.pop("event", ""))
    for name, value in event.items():
        line[text(name, 100)] = safe(value)
    if trace:
        line["exception"] = text(_PYDANTIC_INPUT.sub("input withheld", str(trace)), MOST_TRACE_CHARACTERS, keep="\n\t")
    return orjson.dumps(line).decode()


def safe(value: object, depth: int = 0) -> object:
    """`value` as something a log line may hold: bounded, printable, JSON."""
    match value:
        case None | bool() | float():
            return value
        case int():
            return value if -(2**63) <= value < 2**63 else "an integer beyond 64 bits"
        case str():
            return text(value)
        case Mapping() if depth < _MOST_DEPTH:
            return {text(str(name)): safe(item, depth + 1) for name, item in list(value.items())[:_MOST_ITEMS]}
        case list() | tuple() | set() | frozenset() if depth < _MOST_DEPTH:
            return [safe(item, depth + 1) for item in list(value)[:_MOST_ITEMS]]
        case _:
            return text(str(value))


def text(value: str, most: int = MOST_TEXT_CHARACTERS, *, keep: str = "") -> str:
    """`value` without what a terminal or a line reader would act on; such characters become `\\u001b` and the like."""
    cut = value if len(value) <= most else f"{value[:most]}... ({len(value)} characters)"
    if not _RAW.search(cut):
        return cut
    return _RAW.sub(lambda found: found[0] if found[0] in keep else f"\\u{ord(found[0]):04x}", cut)


class _Stderr(logging.StreamHandler[TextIO]):
    """Writes to whatever `sys.stderr` is at the time."""

    @property
    def stream(self) -> TextIO:
        return sys.stderr

    @stream.setter
    def stream(self, value: TextIO) -> None:
        """Not kept: the base class sets it once."""


def configure_structlog(service: str, number: int) -> None:
    structlog.configure(
        processors=[*_shared(), _service(service), render],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=lambda *_: structlog.WriteLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )


def _shared() -> list[Processor]:
    return [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        _scope,
        # Plain tracebacks: a formatter that shows local variables would show secrets.
        structlog.processors.format_exc_info,
    ]


def _scope(_logger: WrappedLogger, _method: str, event: EventDict) -> MutableMapping[str, object]:
    scope = SCOPE.get()
    if scope is not None:
        event.setdefault("request_id", scope.request_id)
        event.setdefault("trace_id", scope.trace_id)
    return event


def _service(name: str) -> Processor:
    def add(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        event["service"] = name
        return event

    return add


def _logger_name(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    record = event.get("_record")
    if record is not None:
        event["module"] = record.name
    return event


# Before a process configures its logs, as in tests and tools, lines have the same form.
configure_structlog("reeve", logging.INFO)
