"""The recorder: a pure ASGI layer that lets no answer leave before its event is durable.

It wraps every route behind a guard. When the answer's head is ready it commits the event of the
request - unless the route already committed one that speaks for it (`state["recorded"]`) - and only
then sends the head on. It also adds the headers the guard left (rate limits) and keeps the answers
that an `Idempotency-Key` may ask for again.
"""

from typing import Any

import orjson
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from libs.common.errors import Unavailable
from libs.common.identity import Caller
from services.gateway.idempotency import IdempotencyKeys
from services.gateway.journal import Journal, request_event

MOST_USER_AGENT = 500


class Recorder:
    """Records each guarded request; answers 503 instead when that fails."""

    def __init__(self, app: ASGIApp, *, journal: Journal, keys: IdempotencyKeys) -> None:
        self._app = app
        self._journal = journal
        self._keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass anything but HTTP through; hold each HTTP answer until it is recorded."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        await self._app(scope, receive, _Answer(self, scope, send).send)

    async def record(self, scope: Scope, status: int) -> None:
        """Commit the event of this request, if nothing else speaks for it."""
        state: dict[str, Any] = scope.get("state", {})
        action = state.get("action")
        if action is None or state.get("recorded"):
            return
        caller: Caller | None = state.get("caller")
        data: dict[str, Any] = {
            "action": action,
            "outcome": _outcome(status),
            "method": scope["method"],
            "path": scope["path"][:512],
            "status": status,
        }
        if permission := state.get("permission"):
            data["permission"] = permission
        if error := state.get("error_code"):
            data["error"] = error
        event = request_event(
            caller=caller,
            origin=_origin(scope, caller),
            correlation_id=state.get("correlation_id", ""),
            traceparent=state.get("traceparent"),
            target=state.get("target"),
            recorded=data,
        )
        await self._journal.record(event)

    async def keep(self, scope: Scope, head: Message, body: bytes) -> None:
        """Keep the answer for a repeated `Idempotency-Key`, when this request carried one."""
        claim = scope.get("state", {}).get("idempotency")
        if claim is not None:
            await self._keys.keep(claim, status=head["status"], headers=head["headers"], body=body)


class _Answer:
    """The answer of one request on its way out."""

    __slots__ = ("_body", "_dropped", "_head", "_recorder", "_scope", "_send")

    def __init__(self, recorder: Recorder, scope: Scope, send: Send) -> None:
        self._recorder = recorder
        self._scope = scope
        self._send = send
        self._head: Message | None = None
        self._body: list[bytes] = []
        self._dropped = False

    async def send(self, message: Message) -> None:
        """Hold the head until the first of the body is here, so that one refusal can replace both."""
        if self._dropped:
            return
        if message["type"] == "http.response.start":
            await self._start(message)
            return
        if self._head is not None:
            self._body.append(message.get("body", b""))
            if message.get("more_body"):
                return
            await self._recorder.keep(self._scope, self._head, b"".join(self._body))
            await self._send(self._head)
            await self._send({"type": "http.response.body", "body": b"".join(self._body)})
            return
        await self._send(message)

    async def _start(self, message: Message) -> None:
        try:
            await self._recorder.record(self._scope, message["status"])
        except Unavailable as error:
            self._dropped = True
            await _refuse(self._send, error)
            return
        if extra := self._scope.get("state", {}).get("response_headers"):
            message["headers"] = [*message["headers"], *extra]
        if self._scope.get("state", {}).get("idempotency") is not None:
            self._head = message
        else:
            await self._send(message)


async def _refuse(send: Send, error: Unavailable) -> None:
    body = orjson.dumps({"detail": error.detail()})
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    headers += [(name.lower().encode(), value.encode()) for name, value in error.headers.items()]
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _outcome(status: int) -> str:
    if status < 400:
        return "success"
    return "denied" if status in (401, 403, 429) else "failure"


def _origin(scope: Scope, caller: Caller | None) -> dict[str, Any]:
    if caller is not None:
        return caller.origin.model_dump(exclude_none=True)
    state = scope.get("state", {})
    client = scope.get("client")
    found: dict[str, Any] = {"request_id": state.get("request_id")}
    if client:
        found["ip_address"] = client[0]
    for name, value in scope["headers"]:
        if name == b"user-agent":
            found["user_agent"] = value.decode("latin-1")[:MOST_USER_AGENT]
            break
    return found
