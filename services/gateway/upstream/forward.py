"""Answer a request with what a service says, unchanged: whole, or as it comes."""

import asyncio
from collections.abc import Mapping

from fastapi import Request, Response
from starlette.types import Receive, Scope, Send

from libs.common.identity import Caller
from services.gateway.upstream.client import PART_SECONDS, Upstream

_PASSED_ON = ("range", "if-range", "if-none-match")


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


def stream(request: Request, caller: Caller, *, service: str, path: str, permission: str) -> Response:
    """A file of `service`, in the caller's name, no faster than its reader takes it."""
    passed = {name: request.headers[name] for name in _PASSED_ON if name in request.headers}
    upstream: Upstream = request.app.state.upstream
    return _Streamed(upstream, caller, service=service, path=path, permission=permission, passed=passed)


class _ReaderGone(Exception):
    """Whoever asked has hung up."""


class _Streamed(Response):
    """An answer that is fetched when it is sent: until its head came, an error is still answered as one."""

    def __init__(
        self,
        upstream: Upstream,
        caller: Caller,
        *,
        service: str,
        path: str,
        permission: str,
        passed: Mapping[str, str],
    ) -> None:
        super().__init__()
        self._upstream = upstream
        self._caller = caller
        self._service = service
        self._path = path
        self._permission = permission
        self._passed = passed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def begin(status: int, headers: dict[str, str]) -> None:
            pairs = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
            await send({"type": "http.response.start", "status": status, "headers": pairs})

        async def part(data: bytes) -> None:
            try:
                async with asyncio.timeout(PART_SECONDS):
                    await send({"type": "http.response.body", "body": data, "more_body": True})
            except TimeoutError:
                # A reader that takes nothing for so long is as good as gone; it may go on by `Range`.
                raise _ReaderGone from None

        async def fetch() -> None:
            await self._upstream.stream(
                self._service, self._path, caller=self._caller, permission=self._permission, passed=self._passed,
                begin=begin, part=part,
            )  # fmt: skip
            await send({"type": "http.response.body", "body": b"", "more_body": False})

        try:
            async with asyncio.TaskGroup() as group:
                watching = group.create_task(_until_gone(receive))
                await fetch()
                watching.cancel()
        except* _ReaderGone:
            pass


async def _until_gone(receive: Receive) -> None:
    """The server drops what is sent to a reader that hung up: nothing more need be fetched."""
    while (await receive())["type"] != "http.disconnect":
        pass
    raise _ReaderGone
