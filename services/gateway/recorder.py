"""The recorder: a pure ASGI layer that lets no answer leave before its event is durable.

It wraps every route behind a guard. When the answer's head is ready it commits the event of the
request - unless the route already committed one that speaks for it (`state["recorded"]`) and nothing else is to
be said of it (`state["observed"]`) - and only
then sends the head on. It also adds the headers the guard left (rate limits) and keeps the answers
that an `Idempotency-Key` may ask for again.
"""

from typing import Any

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from libs.common import logs
from libs.common.errors import Unavailable
from libs.common.identity import Caller, Origin
from libs.common.web.errors import problem_of
from services.gateway.facts import Fact
from services.gateway.features.idempotency.commands import IdempotencyKeys
from services.gateway.features.idempotency.models import Replay
from services.gateway.journal import Journal, request_event
from services.gateway.sightings import Sightings

ADMIN_PREFIX = "/api/v1/admin/"

log = logs.get("recorder")


class Recorder:
    """Records each guarded request; when that fails, the request fails with 503 instead of its answer."""

    def __init__(self, app: ASGIApp, *, journal: Journal, keys: IdempotencyKeys) -> None:
        self._app = app
        self._journal = journal
        self._keys = keys
        self._sightings = Sightings()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass anything but HTTP through; hold each HTTP answer, and each error, until it is recorded."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer = _Answer(self, scope, send)
        try:
            await self._app(scope, receive, answer.send)
        except Replay as kept:
            await Response(kept.body, status_code=kept.status, headers=kept.headers)(scope, receive, answer.send)
        except Exception as error:
            if not answer.is_recorded:
                problem = problem_of(error, request_id=scope["state"]["request_id"])
                await self.record(scope, problem.status, error=str(problem.detail.get("error", "")))
                await self._free(scope)
            raise

    async def record(self, scope: Scope, status: int, *, error: str | None = None) -> None:
        """Commit the event of this request, if nothing else speaks for it."""
        state: dict[str, Any] = scope.get("state", {})
        action = state.get("action")
        observed = state.get("observed")
        if action is None:
            return
        facts = self._sightings.of_request(scope, status, error)
        caller: Caller | None = state.get("caller")
        speaks_for_itself = state.get("recorded") and observed is None
        # What everybody may read, or a client's own sign-in, is no administrator's request.
        if speaks_for_itself or (caller is None and not scope["path"].startswith(ADMIN_PREFIX)):
            await self._note(caller, facts)
            return
        data: dict[str, Any] = {
            "action": action,
            "outcome": _outcome(status),
            "method": scope["method"],
            "path": scope["path"][:512],
            "status": status,
        }
        if permission := state.get("permission"):
            data["permission"] = permission
        if error:
            data["error"] = error
        if observed is not None:
            # Also beside the event of a change: that one says what was done, this one that it would have been denied.
            data["would_deny"] = observed
        event = request_event(
            caller=caller,
            origin=_origin(state),
            correlation_id=state.get("correlation_id", ""),
            traceparent=state.get("traceparent"),
            target=state.get("target"),
            recorded=data,
        )
        await self._journal.record(event, facts=facts)
        if facts:
            self._sightings.remember(caller, facts)

    async def _note(self, caller: Caller | None, facts: list[Fact]) -> None:
        """Commit the facts of a request that leaves no event here, once a minute and network at most for most.

        What was done is committed already: that its facts cannot be is no reason to answer that it was not done.
        """
        if not facts:
            return
        try:
            await self._journal.record(facts=facts)
        except Unavailable as error:
            log.warning("facts not noted", error=error.code)
        else:
            self._sightings.remember(caller, facts)

    async def keep(self, scope: Scope, head: Message, body: bytes) -> None:
        """Keep the answer for a repeated `Idempotency-Key`, when this request carried one."""
        claim = scope.get("state", {}).get("idempotency")
        if claim is not None:
            await self._keys.keep(claim, status=head["status"], headers=head["headers"], body=body)

    async def _free(self, scope: Scope) -> None:
        """An error is not kept: the same request may be tried again with its key."""
        claim = scope.get("state", {}).get("idempotency")
        if claim is not None:
            await self._keys.free(claim)


class _Answer:
    """The answer of one request on its way out."""

    __slots__ = ("_body", "_head", "_recorder", "_scope", "_send", "is_recorded")

    def __init__(self, recorder: Recorder, scope: Scope, send: Send) -> None:
        self._recorder = recorder
        self._scope = scope
        self._send = send
        self._head: Message | None = None
        self._body: list[bytes] = []
        self.is_recorded = False

    async def send(self, message: Message) -> None:
        """Record before the head leaves; where a key may ask for the answer again, keep it whole before that."""
        if message["type"] == "http.response.start":
            self.is_recorded = True
            await self._recorder.record(self._scope, message["status"])
            state = self._scope.get("state", {})
            if extra := state.get("response_headers"):
                message["headers"] = [*message["headers"], *extra]
            if state.get("idempotency") is None:
                await self._send(message)
            else:
                self._head = message
            return
        if self._head is None:
            await self._send(message)
            return
        self._body.append(message.get("body", b""))
        if not message.get("more_body"):
            await self._finish(self._head, b"".join(self._body))

    async def _finish(self, head: Message, body: bytes) -> None:
        await self._recorder.keep(self._scope, head, body)
        await self._send(head)
        await self._send({"type": "http.response.body", "body": body})


def _outcome(status: int) -> str:
    if status < 400:
        return "success"
    return "denied" if status in (401, 403, 429) else "failure"


def _origin(state: dict[str, Any]) -> dict[str, Any]:
    origin: Origin | None = state.get("origin")
    return origin.model_dump(exclude_none=True) if origin is not None else {"request_id": state.get("request_id")}
