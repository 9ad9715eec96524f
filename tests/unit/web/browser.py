"""Talks ASGI to an application in this process, with chosen chunks, headers and ids."""

import json
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.types import ASGIApp, Message


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        """The machine code of an error answer in the house shape."""
        detail = self.json["detail"]
        assert isinstance(detail["message"], str)
        return str(detail["error"])


async def ask(
    app: ASGIApp,
    method: str,
    path: str,
    *,
    body: bytes | Sequence[bytes] | None = None,
    json_body: Any = None,
    headers: Iterable[tuple[str, str]] = (),
    content_type: str | None = "application/json",
) -> Answer:
    """One request. A `body` given as a sequence is sent in chunks without a length."""
    sent = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers]
    if json_body is not None:
        body = json.dumps(json_body).encode()
    chunks = [body] if isinstance(body, bytes) else list(body or [])
    if body is not None:
        if content_type is not None:
            sent.append((b"content-type", content_type.encode()))
        sent.append(
            (b"content-length", b"%d" % len(body)) if isinstance(body, bytes) else (b"transfer-encoding", b"chunked")
        )
    raw_path, _, query = path.partition("?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": raw_path,
        "raw_path": raw_path.encode("latin-1"),
        "query_string": query.encode("latin-1"),
        "root_path": "",
        "headers": sent,
        "client": ("203.0.113.9", 50000),
        "server": ("reeve.test", 80),
    }
    messages: list[Message] = []
    source = _received(chunks)

    async def receive() -> Message:
        return await anext(source)

    async def send(message: Message) -> None:
        messages.append(message)

    await app(scope, receive, send)
    start = messages[0]
    assert start["type"] == "http.response.start"
    names = [name.decode() for name, _ in start["headers"]]
    assert len(names) == len(set(names)), f"a header is there twice: {names}"
    return Answer(
        status=start["status"],
        headers={name.decode(): value.decode("latin-1") for name, value in start["headers"]},
        body=b"".join(message.get("body", b"") for message in messages[1:]),
    )


async def _received(chunks: list[bytes]) -> AsyncIterator[Message]:
    for number, chunk in enumerate(chunks, start=1):
        yield {"type": "http.request", "body": chunk, "more_body": number < len(chunks)}
    if not chunks:
        yield {"type": "http.request", "body": b"", "more_body": False}
    while True:
        yield {"type": "http.disconnect"}
