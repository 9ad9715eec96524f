"""TLS over a plain connection, with an end that both sides say (`close_notify`), which asyncio's own TLS cannot wait for.

Version 1.2 at the least, certificates and host names verified, as RFC 5425 and RFC 9662 ask: by the context that is given.
"""

import asyncio
import ssl
from collections.abc import Callable
from contextlib import suppress
from functools import partial

CHUNK = 64 * 1024


class TlsStream:
    """One client's side of a connection."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, context: ssl.SSLContext, host: str
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)

    async def handshake(self) -> None:
        """Agree on keys and verify the receiver."""
        await self._done(self._tls.do_handshake)

    async def send(self, content: bytes) -> None:
        """Send all of it."""
        view = memoryview(content)
        while view:
            piece = view[:CHUNK]
            await self._done(partial(self._tls.write, piece))
            view = view[len(piece) :]

    async def end(self) -> None:
        """Say that this is all, and return once the receiver has read so far and said the same.

        Raises `ssl.SSLError` when the connection ends without that: then nobody knows what was read, or by whom.
        """
        # `unwrap` alone would take the end of the connection for the receiver's word.
        with suppress(ssl.SSLWantReadError):
            self._tls.unwrap()
        with suppress(ssl.SSLZeroReturnError):
            while await self._done(partial(self._tls.read, CHUNK)):
                pass

    async def _done(self, step: Callable[[], object]) -> object:
        while True:
            try:
                found, wants_more = step(), False
            except ssl.SSLWantReadError:
                found, wants_more = None, True
            finally:
                if out := self._outgoing.read():
                    self._writer.write(out)
            await self._writer.drain()
            if not wants_more:
                return found
            if data := await self._reader.read(CHUNK):
                self._incoming.write(data)
            else:
                self._incoming.write_eof()
