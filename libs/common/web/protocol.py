"""HTTP/1.1 on the wire, with the bounds that the server itself lacks: heads, connections, waiting.

What is refused here never becomes a request; it is answered in the house shape all the same.
"""

import asyncio
from http import HTTPStatus

import orjson
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from libs.common.ids import new_id

MOST_HEAD_BYTES = 64 * 1024
"""Request line and headers; a little more passes when it arrives in one piece."""
HEAD_SECONDS = 20.0
"""How long a client may take to send a whole head, also the first one of a new connection."""
MOST_CONNECTIONS = 16_384


class BoundedProtocol(HttpToolsProtocol):
    """One connection."""

    head_seconds = HEAD_SECONDS
    most_connections = MOST_CONNECTIONS

    _is_in_head = True
    _head_bytes = 0
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.most_connections:
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, "overloaded", "too many connections are open now")
            return
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_arrived()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._is_in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if not self._is_in_head or self.transport.is_closing():
            return
        if self._head_bytes > MOST_HEAD_BYTES:
            message = f"the headers must be at most {MOST_HEAD_BYTES} bytes"
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "headers_too_large", message)
        elif self._head_timer is None and self._head_bytes:
            self._await_head()

    def on_header(self, name: bytes, value: bytes) -> None:
        # After the head come trailers only, which nobody reads.
        if self._is_in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._is_in_head = False
        self._head_arrived()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._is_in_head = True
        self._head_bytes = 0

    def send_400_response(self, msg: str) -> None:
        """The server's own refusal of what is no HTTP; `msg` is its text."""
        self._refuse(HTTPStatus.BAD_REQUEST, "bad_request", "this is not HTTP that we understand")

    def _await_head(self) -> None:
        self._head_timer = self.loop.call_later(self.head_seconds, self._head_missed)

    def _head_arrived(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_missed(self) -> None:
        self._head_timer = None
        if not self._head_bytes:
            self.transport.close()
            return
        self._refuse(
            HTTPStatus.REQUEST_TIMEOUT, "headers_too_slow", f"no whole head came within {self.head_seconds:g} s"
        )

    def _refuse(self, status: HTTPStatus, code: str, message: str) -> None:
        body = orjson.dumps({"detail": {"error": code, "message": message}})
        head = (
            f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\nx-request-id: {new_id()}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode("ascii") + body)
        self.transport.close()
