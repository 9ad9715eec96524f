"""The route class of every admin route: guarded, strict, and true to its `Idempotency-Key`.

The key is looked at after the guard let the caller in and before anything of the body is parsed.
"""

from fastapi import Request
from starlette.responses import Response
from starlette.types import Message

from libs.common.identity import Caller
from services.gateway.access.guard import GuardedRoute, Handler, guard_of
from services.gateway.features.idempotency.commands import IdempotencyKeys


class AdminRoute(GuardedRoute):
    """A guarded route whose POST may be repeated safely with an `Idempotency-Key`."""

    def get_route_handler(self) -> Handler:
        """The guarded handler, behind the check of the key."""
        handler = super().get_route_handler()
        guard = guard_of(self.dependant)
        if guard is None or "POST" not in (self.methods or ()):
            return handler

        async def keyed(request: Request) -> Response:
            offered = request.headers.get("idempotency-key")
            if offered is None:
                return await handler(request)
            caller: Caller = await guard(request)
            keys: IdempotencyKeys = request.app.state.idempotency
            body = await request.body()
            line = f"{request.method} {request.url.path}?{request.url.query}\n".encode()
            request.state.idempotency = await keys.begin(offered, caller_id=caller.actor.id, request=line + body)
            return await handler(_again(request, body))

        return keyed


def _again(request: Request, body: bytes) -> Request:
    """The request with its body, which was read already, to be read once more."""
    unread = True

    async def receive() -> Message:
        nonlocal unread
        if unread:
            unread = False
            return {"type": "http.request", "body": body, "more_body": False}
        return await request.receive()

    return Request(request.scope, receive)
