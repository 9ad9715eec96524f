"""The route class of every admin route: guarded, strict, and true to its `Idempotency-Key`.

The key is looked at after the guard let the caller in and before anything of the body is parsed.
"""

from fastapi import Request
from starlette.responses import Response
from starlette.types import Message

from libs.common.identity import Caller
from services.gateway.access.guard import GuardedRoute, Handler, guard_of


class AdminRoute(GuardedRoute):
    """A guarded route whose POST may be repeated safely with an `Idempotency-Key`."""

    def get_route_handler(self) -> Handler:
        """The guarded handler, behind the check of the key."""
        handler = super().get_route_handler()
        guard = guard_of(self.dependant)
        if guard is None or "POST" not in (self.methods or ()):
            return handler

        async def keyed(request: Request) -> Response:
            if "idempotency-key" not in request.headers:
                return await handler(request)
            caller: Caller = await guard(request)
            await request.app.state.idempotency.begin(request, caller.actor.id)
            return await handler(_again(request, await request.body()))

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
