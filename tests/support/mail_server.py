"""A real SMTP server on loopback (aiosmtpd): takes mails, and misbehaves where it is told to."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Literal

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HOST = "127.0.0.1"
USER, SECRET = "reeve", "p@ss:word/of the relay"
Security = Literal["none", "starttls", "tls"]


@dataclass
class Taken:
    """A mail that the server answered for, or at least read."""

    sender: str
    recipients: list[str]
    content: bytes
    was_protected: bool
    signed_in_as: str | None

    @property
    def message(self) -> EmailMessage:
        """As a mail program reads it."""
        read = message_from_bytes(self.content, policy=default)
        assert isinstance(read, EmailMessage)
        return read

    def part(self, kind: Literal["plain", "html"]) -> str:
        """The body as plain text, or as HTML."""
        found = self.message.get_body((kind,))
        assert found is not None
        return str(found.get_content())


@dataclass
class MailServer:
    """A running server. `rcpt_answers` and `data_answers` are given once each, in order; then everything is taken."""

    port: int = 0
    certificate: Path | None = None
    taken: list[Taken] = field(default_factory=list)
    greeted: int = 0
    rcpt_answers: list[str] = field(default_factory=list)
    data_answers: list[str] = field(default_factory=list)
    """`hang` reads the mail and never answers, `drop` reads it and closes."""

    def trusting(self) -> ssl.SSLContext:
        """What believes this server's certificate."""
        return ssl.create_default_context(cafile=str(self.certificate))


class _Handler:
    def __init__(self, state: MailServer) -> None:
        self._state = state

    async def handle_EHLO(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        self._state.greeted += 1
        session.host_name = hostname
        return responses

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self._state.rcpt_answers:
            return self._state.rcpt_answers.pop(0)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        transport = server.transport
        assert isinstance(transport, asyncio.Transport)
        answer = self._state.data_answers.pop(0) if self._state.data_answers else "250 OK"
        if answer[0] not in "45":
            assert isinstance(envelope.content, bytes)
            data: Any = session.auth_data
            self._state.taken.append(
                Taken(
                    str(envelope.mail_from), list(envelope.rcpt_tos), envelope.content,
                    was_protected=transport.get_extra_info("sslcontext") is not None,
                    signed_in_as=data.login.decode() if isinstance(data, LoginPassword) else None,
                )
            )  # fmt: skip
        if answer == "hang":
            await asyncio.sleep(3600)
        if answer == "drop":
            transport.abort()
        return answer if answer[0].isdigit() else "250 OK"


def _signed_in(server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
    right = isinstance(data, LoginPassword) and (data.login.decode(), data.password.decode()) == (USER, SECRET)
    return AuthResult(success=right, handled=right, auth_data=data)


@asynccontextmanager
async def mail_server(
    folder: Path, security: Security = "none", *, demands_sign_in: bool = False, port: int = 0
) -> AsyncIterator[MailServer]:
    """A server, and the end of it."""
    state = MailServer()
    context = None
    if security != "none":
        state.certificate, key = _certificate(folder)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(state.certificate, key)
    loop = asyncio.get_running_loop()

    def protocol() -> SMTP:
        return SMTP(
            _Handler(state), loop=loop, hostname="mail.test", timeout=30,
            tls_context=context if security == "starttls" else None, require_starttls=security == "starttls",
            authenticator=_signed_in if demands_sign_in else None, auth_required=demands_sign_in,
            auth_require_tls=security == "starttls",
        )  # fmt: skip

    server = await loop.create_server(protocol, HOST, port, ssl=context if security == "tls" else None)
    state.port = server.sockets[0].getsockname()[1]
    try:
        yield state
    finally:
        server.close()


def _certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for loopback that is its own authority, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail.test")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(HOST))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "mail.pem", folder / "mail.key"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return paths
