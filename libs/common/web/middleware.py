"""The edge of every application: one pure ASGI layer around everything else, for `http` and `websocket`.

It gives each request its ids and its place in a trace, bounds its body and how many are in flight,
renders whatever error rises, sets the headers that every answer bears, and measures. It costs about
ten microseconds.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import perf_counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from libs.common import logs, metrics, telemetry
from libs.common.errors import BadRequest, ReeveError, TooLarge, Unavailable
from libs.common.ids import request_id as accepted_id
from libs.common.web import errors
from libs.common.web.body import MOST_BODY_BYTES
from libs.common.web.measure import Measures
from libs.common.web.sse import STREAMS, Streams

BODY_SECONDS = 30.0
"""How long one part of a body may be waited for."""
MOST_IN_FLIGHT = 2000
PROBES = frozenset(("/healthz", "/readyz"))
CLIENT_GONE = 499

_PROBLEM_JSON = errors.PROBLEM_JSON.encode("ascii")
_EVERY_ANSWER = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)
_NO_STORE = (b"cache-control", b"no-store")
_POLICY = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")
_OURS = frozenset((b"x-request-id", b"x-content-type-options", b"referrer-policy"))
log = logs.get(__name__)


class BodyTooSlow(ReeveError):
    """The rest of the body does not come."""

    status = 408
    default_code = "body_too_slow"


@dataclass(slots=True)
class RequestScope:
    """What log lines say about the request."""

    request_id: str
    trace_id: str


@dataclass(frozen=True, slots=True)
class Limits:
    """What one application takes at once."""

    body_bytes: int = MOST_BODY_BYTES
    body_seconds: float = BODY_SECONDS
    in_flight: int = MOST_IN_FLIGHT


@dataclass(slots=True)
class _Exchange:
    """One request and what became of its answer."""

    scope: Scope
    request_id: str
    status: int = 0
    holds_slot: bool = True
    body_bytes: int = 0
    body_ended: bool = True


class Edge:
    """The ASGI layer. `allowed` names the methods of a path, for 405; `shapes` are error shapes by path prefix."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        service: str,
        is_public: bool,
        limits: Limits,
        allowed: Callable[[Scope], list[str]],
        shapes: Mapping[str, errors.Shape],
        streams: Streams,
    ) -> None:
        self.app = app
        self._service = service
        self._is_public = is_public
        self._limits = limits
        self._allowed = allowed
        self._shapes = tuple(shapes.items())
        self._streams = streams
        self._in_flight = 0
        self._measures = Measures(service)
        metrics.REQUESTS_IN_FLIGHT.labels(service).set_function(lambda: self._in_flight)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or STREAMS in scope:
            await self.app(scope, receive, send)
            return
        started = perf_counter()
        offered = traceparent = length = encoding = None
        for name, value in scope["headers"]:
            if name == b"x-request-id":
                offered = value.decode("latin-1")
            elif name == b"traceparent":
                traceparent = value.decode("latin-1")
            elif name == b"content-length":
                length = value
            elif name == b"transfer-encoding":
                encoding = value
        place = telemetry.enter(traceparent)
        request_id = accepted_id(offered)
        exchange = _Exchange(scope, request_id)
        scope[STREAMS] = self._streams
        state = scope.setdefault("state", {})
        state["request_id"] = state["correlation_id"] = request_id
        state["traceparent"] = place.traceparent
        log_token = logs.SCOPE.set(RequestScope(request_id, place.trace_id))
        trace_token = telemetry.CURRENT.set(place)
        self._in_flight += 1
        try:
            if scope["type"] == "websocket":
                await self._websocket(exchange, receive, send)
            else:
                await self._http(exchange, receive, send, length=length, has_body=bool(length or encoding))
        finally:
            if exchange.holds_slot:
                self._in_flight -= 1
            telemetry.CURRENT.reset(trace_token)
            logs.SCOPE.reset(log_token)
            self._measures.take(
                scope,
                status=exchange.status or CLIENT_GONE,
                seconds=perf_counter() - started,
                request_id=request_id,
                place=place,
            )

    async def _http(
        self, exchange: _Exchange, receive: Receive, send: Send, *, length: bytes | None, has_body: bool
    ) -> None:
        identifier = (b"x-request-id", exchange.request_id.encode("ascii"))

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                exchange.status = message["status"]
                message["headers"] = self._headers(exchange, message["headers"], identifier)
            await send(message)

        try:
            self._admit(exchange, length)
            if has_body:
                exchange.body_ended = False
                receive = self._bounded(exchange, receive)
            await self.app(exchange.scope, receive, answer)
        except Exception as error:
            await self._fail(exchange, error, answer)

    def _admit(self, exchange: _Exchange, length: bytes | None) -> None:
        scope = exchange.scope
        if self._in_flight > self._limits.in_flight and scope["path"] not in PROBES:
            metrics.REQUESTS_SHED.labels(self._service).inc()
            raise Unavailable("too many requests are being answered now", code="overloaded")
        if length is not None and (not length.isdigit() or int(length[:20]) > self._limits.body_bytes):
            raise _too_large(self._limits.body_bytes)
        if "\0" in scope["path"] or b"%00" in scope["query_string"]:
            raise BadRequest("the path and the query may not hold U+0000")

    def _headers(
        self, exchange: _Exchange, given: list[tuple[bytes, bytes]], identifier: tuple[bytes, bytes]
    ) -> list[tuple[bytes, bytes]]:
        headers = [identifier, *_EVERY_ANSWER]
        stores, policy = True, self._is_public
        for pair in given:
            name = pair[0]
            if name in _OURS:
                continue
            if name == b"cache-control":
                stores = False
            elif name == b"content-security-policy":
                policy = False
            elif name == b"content-type":
                policy = policy and not pair[1].startswith(b"text/html")
                if exchange.holds_slot and pair[1].startswith(b"text/event-stream"):
                    # A stream lives for hours and has a limit of its own.
                    exchange.holds_slot = False
                    self._in_flight -= 1
            headers.append(pair)
        if stores:
            headers.append(_NO_STORE)
        if policy:
            headers.append(_POLICY)
        return headers

    def _bounded(self, exchange: _Exchange, receive: Receive) -> Receive:
        """`receive`, as long as the body keeps within its size and arrives without long pauses."""

        async def bounded() -> Message:
            if exchange.body_ended:
                return await receive()
            try:
                async with asyncio.timeout(self._limits.body_seconds):
                    message = await receive()
            except TimeoutError:
                raise BodyTooSlow(f"no part of the body came within {self._limits.body_seconds} seconds") from None
            exchange.body_bytes += len(message.get("body", b""))
            exchange.body_ended = not message.get("more_body", False)
            if exchange.body_bytes > self._limits.body_bytes:
                raise _too_large(self._limits.body_bytes)
            return message

        return bounded

    async def _fail(self, exchange: _Exchange, error: Exception, answer: Send) -> None:
        if exchange.status and errors.was_cut_short(error):
            raise error
        problem = errors.problem_of(error, request_id=exchange.request_id)
        if problem.is_ours or exchange.status:
            log.error(
                "request failed", path=exchange.scope["path"], method=exchange.scope.get("method"), exc_info=error
            )
        if exchange.status:
            raise errors.AnswerCutShort from error
        headers = [(name.lower().encode("ascii"), value.encode("latin-1")) for name, value in problem.headers.items()]
        # What a guard left for the answer, such as the state of a limit, is as true of an error.
        own = {name for name, _ in headers}
        state = exchange.scope.get("state", {})
        headers += [one for one in state.get("response_headers", ()) if one[0] not in own]
        if problem.status == 405:
            headers = [(b"allow", ", ".join(self._allowed(exchange.scope)).encode("ascii"))]
        if not exchange.body_ended or problem.status == 413:
            # What is left of the body is not worth reading.
            headers.append((b"connection", b"close"))
        body, content_type = self._shape(exchange.scope)(problem)
        headers += [(b"content-type", content_type.encode("ascii")), (b"content-length", b"%d" % len(body))]
        await answer({"type": "http.response.start", "status": problem.status, "headers": headers})
        await answer({"type": "http.response.body", "body": body})

    def _shape(self, scope: Scope) -> errors.Shape:
        """The shape that a standard demands at this path, else what the caller accepts, else the house's."""
        for prefix, shape in self._shapes:
            if scope["path"].startswith(prefix):
                return shape
        accepted = any(name == b"accept" and _PROBLEM_JSON in value for name, value in scope["headers"])
        return errors.problem_json if accepted else errors.body_of

    async def _websocket(self, exchange: _Exchange, receive: Receive, send: Send) -> None:
        is_open = True

        async def answer(message: Message) -> None:
            nonlocal is_open
            exchange.status = 101
            is_open = is_open and message["type"] != "websocket.close"
            await send(message)

        try:
            await self.app(exchange.scope, receive, answer)
        except Exception as error:
            problem = errors.problem_of(error, request_id=exchange.request_id)
            if problem.is_ours:
                log.error("websocket failed", path=exchange.scope["path"], exc_info=error)
            if is_open:
                code = 1011 if problem.is_ours else 1008
                await answer({"type": "websocket.close", "code": code, "reason": problem.detail["error"]})


def _too_large(most: int) -> TooLarge:
    return TooLarge(f"the body must be at most {most} bytes")
