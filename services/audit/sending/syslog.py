"""Sends entries to a syslog receiver: one connection a batch, which the receiver confirms by ending it as well.

Syslog has no acknowledgement. What stands in for one: the sender ends its side, and the receiver, once it has read
everything, ends its own. A receiver that goes before that resets the connection, and the batch is sent again.
"""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from ipaddress import ip_address
from typing import Any

from libs.common.egress.destinations import ForbiddenDestination, Network, check_address, literal
from libs.common.egress.resolver import JudgingResolver
from libs.common.egress.trust import client_context
from services.audit.models.sinks import Batch, SendFailed, error_text
from services.audit.models.syslog import framed, message
from services.audit.sending.tls import TlsStream

CHUNK = 64 * 1024


class SyslogSender:
    """Sends to any syslog target. `allowed` are the networks that may be reached although they are not public."""

    def __init__(self, allowed: Sequence[Network] = (), *, hostname: str | None = None) -> None:
        self._allowed = tuple(allowed)
        self._hostname = hostname or socket.gethostname()

    async def send(self, target: Mapping[str, Any], batch: Batch) -> None:
        """Send a batch and wait until it is confirmed. Raises `SendFailed`. The caller bounds the time."""
        try:
            async with self._connected(target) as (reader, writer):
                content = b"".join(framed(message(entry, hostname=self._hostname)) for entry in batch.entries)
                if target["tls"]:
                    stream = TlsStream(reader, writer, client_context(target.get("ca")), target["host"])
                    await stream.handshake()
                    await stream.send(content)
                    await stream.end()
                    return
                writer.write(content)
                await writer.drain()
                writer.write_eof()
                while await reader.read(CHUNK):
                    pass
        except ForbiddenDestination as error:
            raise SendFailed(error_text(error)) from None
        except ssl.SSLCertVerificationError as error:
            raise SendFailed(f"the receiver's certificate does not hold: {error.verify_message}") from error
        except (OSError, ssl.SSLError, EOFError) as error:
            raise SendFailed(f"the receiver did not confirm: {error_text(error)}") from error

    @asynccontextmanager
    async def _connected(
        self, target: Mapping[str, Any]
    ) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        address = await self._address(target["host"], target["port"])
        reader, writer = await asyncio.open_connection(address, target["port"])
        try:
            yield reader, writer
        finally:
            # Nothing is waited for: what was not confirmed until now never will be.
            writer.transport.abort()

    async def _address(self, host: str, port: int) -> str:
        """The address that is connected to: the very one that was judged."""
        address = literal(host)
        if address is not None:
            check_address(address, host=host, allowed=self._allowed, trusts_loopback=False)
            return str(address)
        resolver = JudgingResolver(self._allowed, trusts_loopback=False)
        try:
            found = await resolver.resolve(host, port, socket.AF_UNSPEC)
        finally:
            await resolver.close()
        return str(ip_address(found[0]["host"].partition("%")[0]))
