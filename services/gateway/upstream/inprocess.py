"""Reads of a service that runs in this process: its ASGI application is called directly.

The same assertion, the same routes, the same bytes; only the socket is left out.
"""

import asyncio
from collections.abc import Mapping, MutableMapping
from typing import Any
from urllib.parse import unquote

from starlette.types import ASGIApp

from services.gateway.upstream.client import (
    MOST_ANSWER_BYTES,
    PASSED_HEADERS,
    STREAMED_HEADERS,
    TIMEOUT_SECONDS,
    Answer,
    Begin,
    Part,
    UpstreamBroken,
)

AsgiMessage = MutableMapping[str, Any]
PASSED = {name.encode(): name for name in PASSED_HEADERS}


class InProcessCarrier:
    """Calls the applications of services that share this process."""

    def __init__(self, apps: Mapping[str, ASGIApp]) -> None:
        self._apps = dict(apps)

    async def get(self, service: str, target: str, headers: dict[str, str]) -> Answer:
        """GET `target` of the application, within the time and size limits."""
        return await self._request(service, _scope(service, target, headers), b"")

    async def put(self, service: str, target: str, headers: dict[str, str], body: bytes) -> Answer:
        """PUT `body` at `target` of the application, within the same limits."""
        return await self._request(service, {**_scope(service, target, headers), "method": "PUT"}, body)

    async def _request(self, service: str, scope: dict[str, Any], body: bytes) -> Answer:
        exchange = _Exchange(body)
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                await self._apps[service](scope, exchange.receive, exchange.send)
        except TimeoutError as error:
            raise UpstreamBroken(f"{service}: no answer within {TIMEOUT_SECONDS} s") from error
        return exchange.answer(service)

    async def stream(self, service: str, target: str, headers: dict[str, str], *, begin: Begin, part: Part) -> None:
        """GET, with each part handed on before the application makes the next."""
        exchange = _Relayed(begin, part)
        await self._apps[service](_scope(service, target, headers), exchange.receive, exchange.send)
        if not exchange.has_begun:
            raise UpstreamBroken(f"{service} did not answer")

    async def close(self) -> None:
        """Nothing is held."""


def _scope(service: str, target: str, headers: Mapping[str, str]) -> dict[str, Any]:
    path, _, query = target.partition("?")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": unquote(path),
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers.items()],
        "client": ("127.0.0.1", 0),
        "server": (service, 0),
        "state": {},
    }


class _Relayed:
    """One call: an empty body in, the answer's parts handed on."""

    __slots__ = ("_begin", "_is_read", "_part", "has_begun")

    def __init__(self, begin: Begin, part: Part) -> None:
        self._begin = begin
        self._part = part
        self._is_read = False
        self.has_begun = False

    async def receive(self) -> AsgiMessage:
        """The empty body, once; then nothing: a reader that hangs up cancels the call itself."""
        if self._is_read:
            await asyncio.Event().wait()
        self._is_read = True
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(self, message: AsgiMessage) -> None:
        if message["type"] != "http.response.start":
            await self._part(message.get("body", b""))
            return
        self.has_begun = True
        passed = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in message["headers"]}
        await self._begin(message["status"], {name: passed[name] for name in passed.keys() & STREAMED_HEADERS})


class _Exchange:
    """One call: its body in, the answer's parts out."""

    __slots__ = ("_body", "_headers", "_sent", "_size", "_status")

    def __init__(self, sent: bytes) -> None:
        self._sent = sent
        self._status = 0
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._size = 0

    async def receive(self) -> AsgiMessage:
        return {"type": "http.request", "body": self._sent, "more_body": False}

    async def send(self, message: AsgiMessage) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            for name, value in message["headers"]:
                if name in PASSED:
                    self._headers[PASSED[name]] = value.decode("latin-1")
        else:
            part = message.get("body", b"")
            self._size += len(part)
            if self._size > MOST_ANSWER_BYTES:
                raise UpstreamBroken(f"the answer is over {MOST_ANSWER_BYTES} bytes")
            self._body.append(part)

    def answer(self, service: str) -> Answer:
        if not self._status:
            raise UpstreamBroken(f"{service} did not answer")
        return Answer(self._status, self._headers, b"".join(self._body))
