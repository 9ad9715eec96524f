"""A server of the shape of Have I Been Pwned's range API, by uvicorn on a real port, that misbehaves where it is told to."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha1
from typing import Any

import uvicorn

PADDING = 800


@dataclass
class BreachServer:
    """A running server and what it was asked. `known` are passwords with how often they were seen."""

    url: str = ""
    known: dict[str, int] = field(default_factory=dict)
    paths: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    status: int = 200
    seconds: float = 0.0
    location: str = ""
    extra: bytes = b""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        self.paths.append(scope["path"])
        self.headers.append({name.decode(): value.decode() for name, value in scope["headers"]})
        await asyncio.sleep(self.seconds)
        prefix = scope["path"].rpartition("/")[2]
        lines = [
            f"{digest[5:]}:{count}"
            for password, count in self.known.items()
            if (digest := sha1(password.encode()).hexdigest().upper()).startswith(prefix)
        ]
        if self.headers[-1].get("add-padding") == "true":
            lines += [f"{number:035X}:0" for number in range(PADDING)]
        body = "\r\n".join(lines).encode() + self.extra
        head = [(b"content-type", b"text/plain"), *([(b"location", self.location.encode())] if self.location else [])]
        await send({"type": "http.response.start", "status": self.status, "headers": head})
        await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def breach_server() -> AsyncIterator[BreachServer]:
    """A server on a port of its own."""
    state = BreachServer()
    server = uvicorn.Server(uvicorn.Config(state, host="127.0.0.1", port=0, log_config=None, lifespan="off"))
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    running = asyncio.ensure_future(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    state.url = f"http://127.0.0.1:{port}"
    try:
        yield state
    finally:
        server.should_exit = True
        await running
