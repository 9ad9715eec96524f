"""Mail: one message to one address over one connection to the configured server (RFC 5321), and what became of it.

Never in clear but where the operator said so: without STARTTLS, or with a certificate that does not hold, nothing is sent.
Whatever attempt it is, a delivery has one `Message-ID` and one `Date`, by which a mailbox may know a repetition.
"""

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable
from dataclasses import dataclass, field
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from email.utils import format_datetime
from enum import StrEnum
from typing import Literal
from urllib.parse import unquote, urlsplit

import aiosmtplib

from services.notifications.channels.letters import letter_of
from services.notifications.channels.outcomes import Outcome, Outgoing, Rejected, RetryLater, Sent

ANSWER_SECONDS = 10.0
"""How long one answer of the server is waited for."""
SEND_SECONDS = 30.0
"""How long a whole mail may take."""


class Security(StrEnum):
    """How the connection is protected, by the scheme of the URL."""

    TLS = "smtps"
    STARTTLS = "smtp"
    NONE = "smtp+plain"


_POLICY = SMTP_POLICY.clone(cte_type="7bit")
"""What any server takes: no line longer than 998 bytes, no byte above 127 (RFC 5321, 4.5.3.1.6)."""
_PORTS = {Security.TLS: 465, Security.STARTTLS: 587, Security.NONE: 25}


@dataclass(frozen=True, slots=True)
class Server:
    """Where mails are handed over."""

    host: str
    port: int
    security: Security
    username: str | None = None
    password: str | None = field(default=None, repr=False)


def server_of(url: str) -> Server:
    """The server of `smtps://`, `smtp://` (STARTTLS) or `smtp+plain://[user:password@]host[:port]`.

    Raises `ValueError`, whose message repeats nothing of the URL.
    """
    shape = "must be smtps:// (TLS), smtp:// (STARTTLS) or smtp+plain://, then [user:password@]host[:port]"
    try:
        parts = urlsplit(url)
        security, port = Security(parts.scheme), parts.port
    except ValueError:
        raise ValueError(shape) from None
    if not parts.hostname or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError(shape)
    if (parts.username is None) != (parts.password is None):
        raise ValueError("must have both a user and a password, or neither")
    if parts.username is not None and security is Security.NONE:
        raise ValueError("must not send a password in clear: use smtps:// or smtp://")
    return Server(
        host=parts.hostname,
        port=port or _PORTS[security],
        security=security,
        username=unquote(parts.username) if parts.username is not None else None,
        password=unquote(parts.password) if parts.password is not None else None,
    )


class EmailChannel:
    """Sends mails from `sender`. `context` is for servers whose certificate no usual authority signed."""

    name: Literal["email"] = "email"

    def __init__(
        self,
        server: Server,
        sender: Address,
        *,
        context: ssl.SSLContext | None = None,
        answer_seconds: float = ANSWER_SECONDS,
    ) -> None:
        self._server = server
        self._sender = sender
        self._context = context
        self._answer_seconds = answer_seconds

    async def send(self, outgoing: Outgoing) -> Outcome:
        """Hand it over once, within 30 seconds."""
        recipient = recipient_of(outgoing.mail.address)
        try:
            message = message_of(outgoing, self._sender, recipient)
        except (MessageError, ValueError) as error:
            return Rejected(f"no mail can be made of it: {type(error).__name__}")
        progress = _Progress()
        try:
            async with asyncio.timeout(SEND_SECONDS):
                return await self._hand_over(message, recipient, progress)
        except aiosmtplib.SMTPAuthenticationError as error:
            # A matter of configuration, whatever its code says: the operator repairs it, and the mail is sent then.
            return RetryLater(f"the server refused the sign-in with {error.code}")
        except aiosmtplib.SMTPResponseException as error:
            return _answered(error)
        except (aiosmtplib.SMTPException, OSError, TimeoutError, ValueError) as error:
            # The texts of these errors may repeat what was sent; their names say enough.
            return RetryLater(type(error).__name__, may_have_arrived=progress.is_data_sent)

    async def _hand_over(self, message: EmailMessage, recipient: Address, progress: "_Progress") -> Outcome:
        server = self._server
        client = aiosmtplib.SMTP(
            hostname=server.host,
            port=server.port,
            username=server.username,
            password=server.password,
            use_tls=server.security is Security.TLS,
            start_tls=server.security is Security.STARTTLS,
            tls_context=self._context,
            timeout=self._answer_seconds,
        )
        await client.connect()
        try:
            await client.ehlo()
            await client.mail(self._sender.addr_spec)
            await client.rcpt(recipient.addr_spec)
            progress.is_data_sent = True
            await client.data(message.as_bytes())
            progress.is_data_sent = False
            await _politely(client.quit())
        finally:
            client.close()
        return Sent()


def recipient_of(address: str) -> Address:
    """An address as headers and commands have it: what is no word stands in quotation marks (RFC 5321, 4.1.2)."""
    username, _, domain = address.rpartition("@")
    return Address(username=username, domain=domain)


def message_of(outgoing: Outgoing, sender: Address, recipient: Address) -> EmailMessage:
    """The message of a link or of notices. Every header is ours or checked: a line break in one is a `ValueError` of the library."""
    letter = letter_of(outgoing)
    message = EmailMessage(policy=_POLICY)
    message["From"] = sender
    message["To"] = recipient
    message["Subject"] = letter.subject
    message["Date"] = format_datetime(outgoing.created_at)
    message["Message-ID"] = f"<{outgoing.delivery_id}@{sender.domain}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834, 5: no automatic answers, please
    message.set_content(letter.plain)
    message.add_alternative(letter.html, subtype="html")
    return message


@dataclass(slots=True)
class _Progress:
    is_data_sent: bool = False


def _answered(error: aiosmtplib.SMTPResponseException) -> Outcome:
    """RFC 5321, 4.2.1: 4yz may work later, 5yz will not."""
    reason = f"the server answered {error.code}"
    return Rejected(reason) if 500 <= error.code < 600 else RetryLater(reason)


async def _politely(goodbye: Awaitable[object]) -> None:
    """The mail was taken; a server that does not take its leave changes nothing."""
    with contextlib.suppress(aiosmtplib.SMTPException, OSError, TimeoutError):
        await goodbye
