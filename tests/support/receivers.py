"""Receivers of audit entries, real servers on the loopback: syslog over TCP or TLS, and Standard Webhooks over HTTP.

What goes wrong is told beforehand, connection by connection or request by request; the rest is taken.
"""

import asyncio
import re
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from standardwebhooks import Webhook

HEADER = re.compile(
    rb"<(?P<pri>\d{1,3})>1 (?P<time>\S+) (?P<host>\S+) (?P<app>\S+) (?P<proc>\S+) (?P<msgid>\S+) "
    rb"\[(?P<sd>(?:[^\]\\]|\\.)*)\] \xef\xbb\xbf(?P<text>.*)",
    re.DOTALL,
)


@dataclass
class SyslogReceiver:
    """Takes frames of counted octets. A connection whose turn is in `resets` is cut after so many frames."""

    frames: list[bytes] = field(default_factory=list)
    resets: list[int] = field(default_factory=list)
    connections: int = 0
    is_silent: bool = False
    """Reads, and never ends its side."""
    port: int = 0
    kept: list[asyncio.StreamWriter] = field(default_factory=list)

    @property
    def sequences(self) -> list[int]:
        """The places of the entries, as the structured data has them."""
        return [int(re.search(rb'sequence="(\d+)"', frame)[1]) for frame in self.frames]  # type: ignore[index]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self.connections += 1
        left = self.resets.pop(0) if self.resets else None
        try:
            while left is None or left > 0:
                head = await reader.readuntil(b" ")
                self.frames.append(await reader.readexactly(int(head)))
                left = None if left is None else left - 1
            # Else the kernel would end the connection in order, as if everything had been taken.
            connection: socket.socket = writer.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        except asyncio.IncompleteReadError:
            if self.is_silent:
                self.kept.append(writer)
            else:
                writer.close()


@asynccontextmanager
async def syslog_receiver(
    *, tls: ssl.SSLContext | None = None, receiver: SyslogReceiver | None = None
) -> AsyncIterator[SyslogReceiver]:
    """A receiver on a free port, or again on its own."""
    receiver = receiver or SyslogReceiver()
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", receiver.port, ssl=tls)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()


@asynccontextmanager
async def cut_line(port: int, *, after: list[int]) -> AsyncIterator[int]:
    """A way to a receiver whose connections end in order after so many octets, one number each; the rest pass whole."""

    async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter, most: int) -> None:
        while most > 0 and (data := await source.read(min(most, 65_536))):
            target.write(data)
            await target.drain()
            most -= len(data)
        target.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        most = after.pop(0) if after else 1 << 30
        beyond_reader, beyond_writer = await asyncio.open_connection("127.0.0.1", port)
        back = asyncio.create_task(copy(beyond_reader, writer, 1 << 30))
        await copy(reader, beyond_writer, most)
        if most < 1 << 30:
            back.cancel()
            writer.close()
        await asyncio.wait([back])

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@dataclass
class WebhookReceiver:
    """Takes what the library of Standard Webhooks verifies. `answers` are given first, one a request, then 204."""

    secret: str
    answers: list[web.Response | str] = field(default_factory=list)
    taken: list[dict[str, Any]] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    """Of every attempt, whether it was taken or not."""
    url: str = ""

    @property
    def sequences(self) -> list[int]:
        """The places of the entries taken."""
        return [entry["sequence"] for body in self.taken for entry in body["data"]["entries"]]

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """One attempt."""
        body = await request.read()
        Webhook(self.secret).verify(body, dict(request.headers))
        self.ids.append(request.headers["webhook-id"])
        answer = self.answers.pop(0) if self.answers else web.Response(status=204)
        if answer == "taken and cut":
            self.taken.append(orjson.loads(body))
        if isinstance(answer, str):
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        if answer.status < 300:
            self.taken.append(orjson.loads(body))
        return answer


@asynccontextmanager
async def webhook_receiver(
    secret: str, *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
) -> AsyncIterator[WebhookReceiver]:
    """A receiver on a free port."""
    receiver = WebhookReceiver(secret)
    app = web.Application()
    app.router.add_post("/hook", receiver.serve)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, host, 0, ssl_context=tls)
    await site.start()
    port = runner.addresses[0][1]
    receiver.url = f"http{'s' if tls else ''}://{host}:{port}/hook"
    try:
        yield receiver
    finally:
        await runner.cleanup()


@asynccontextmanager
async def serve(answer: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[str]:
    """Somebody else's server on a free port, whatever it is asked; its URL without a path."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def certificate(folder: Path, *, name: str = "localhost") -> tuple[ssl.SSLContext, str]:
    """A server's side of TLS with a certificate of its own for `name`, and that certificate in PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1)).add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True).sign(key, hashes.SHA256())
    )  # fmt: skip
    pem = made.public_bytes(serialization.Encoding.PEM)
    path = folder / f"{name}.pem"
    path.write_bytes(pem + key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ))  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context, pem.decode()
