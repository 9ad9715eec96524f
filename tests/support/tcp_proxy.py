"""A TCP proxy in front of a server, for the faults that a network makes: silence, a cut, refusal."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit, urlunsplit

CHUNK = 65_536


class TcpProxy:
    """Forwards both ways until told otherwise."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._flows = asyncio.Event()
        self._flows.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.port = 0

    async def start(self) -> None:
        """Listen on the port of before, or on a free one."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    def aim(self, host: str, port: int) -> None:
        """Lead new connections to a server that has moved."""
        self._target = (host, port)

    def fall_silent(self) -> None:
        """Keep connections open and pass nothing on, either way."""
        self._flows.clear()

    def speak_again(self) -> None:
        """Pass everything on again, what was held back included."""
        self._flows.set()

    def cut(self) -> None:
        """Reset every connection; new ones are accepted."""
        for writer in self._writers:
            writer.transport.abort()

    async def refuse(self) -> None:
        """Reset every connection and accept no more until `start`."""
        assert self._server is not None
        self._server.close()
        self.cut()

    async def stop(self) -> None:
        """End everything."""
        await self.refuse()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            other_reader, other_writer = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            return
        self._writers.add(other_writer)
        for source, sink in ((reader, other_writer), (other_reader, writer)):
            task = asyncio.create_task(self._pump(source, sink))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while chunk := await source.read(CHUNK):
                await self._flows.wait()
                sink.write(chunk)
                await sink.drain()
        sink.transport.abort()
        self._writers.discard(sink)


@asynccontextmanager
async def proxied(url: str, default_port: int) -> AsyncIterator[tuple[str, TcpProxy]]:
    """The same URL through a proxy, and the proxy."""
    parts = urlsplit(url)
    proxy = TcpProxy(parts.hostname or "127.0.0.1", parts.port or default_port)
    await proxy.start()
    login = f"{parts.netloc.rpartition('@')[0]}@" if "@" in parts.netloc else ""
    try:
        yield urlunsplit(parts._replace(netloc=f"{login}127.0.0.1:{proxy.port}")), proxy
    finally:
        await proxy.stop()
