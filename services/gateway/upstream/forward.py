"""Answer a request with what a service says, unchanged."""

from fastapi import Request, Response

from libs.common.identity import Caller
from services.gateway.upstream.client import Upstream


async def forward(request: Request, caller: Caller, *, service: str, path: str) -> Response:
    """Read `path` of `service` with the request's own query, in the caller's name and with the permission checked."""
    upstream: Upstream = request.app.state.upstream
    answer = await upstream.read(
        service,
        path,
        request.scope["query_string"].decode("latin-1"),
        caller=caller,
        permission=request.state.permission,
        if_none_match=request.headers.get("if-none-match"),
    )
    return Response(answer.body, status_code=answer.status, headers=answer.headers)
