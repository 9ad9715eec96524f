"""Mails handed to a real SMTP server: what arrives, what is never sent, and what each of its answers comes to."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import pytest

from libs.common.events.deliveries import LinkMail
from services.notifications.channels.email import EmailChannel, server_of
from services.notifications.channels.outcomes import Outgoing, Rejected, RetryLater, Sent
from services.notifications.config import address_of
from tests.support.mail_server import HOST, SECRET, USER, MailServer, mail_server

SENDER = address_of("Reeve <reeve@mail.example.com>")
URL = "https://reeve.example.com/activate#token=Tk-0_abc"
NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
LINK = Outgoing(
    "0199a0c0-0000-7000-8000-000000000001", "activation",
    LinkMail(address="ada@example.com", name="Ada <b>& Söhne</b>", url=URL), NOW, NOW + timedelta(hours=72),
)  # fmt: skip


def channel(server: MailServer, scheme: str = "smtp+plain", who: str = "", *, trusts: bool = True) -> EmailChannel:
    context = server.trusting() if server.certificate is not None and trusts else None
    found = server_of(f"{scheme}://{who}{HOST}:{server.port}")
    return EmailChannel(found, SENDER, context=context, answer_seconds=0.5)


async def test_a_mail_arrives_as_it_was_meant(tmp_path: Path) -> None:
    async with mail_server(tmp_path) as server:
        assert await channel(server).send(LINK) == Sent()
    (taken,) = server.taken
    message = taken.message
    assert (taken.sender, taken.recipients) == ("reeve@mail.example.com", ["ada@example.com"])
    assert (message["from"], message["to"]) == ("Reeve <reeve@mail.example.com>", "ada@example.com")
    assert message["subject"] == "Activate your account"
    assert message["message-id"] == "<0199a0c0-0000-7000-8000-000000000001@mail.example.com>"
    assert message["date"].datetime == NOW
    assert message["auto-submitted"] == "auto-generated"
    assert message.get_content_type() == "multipart/alternative"
    assert "Hello Ada <b>& Söhne</b>," in taken.part("plain")
    assert URL in taken.part("plain").splitlines()
    assert "until 2026-01-04 12:00 UTC" in taken.part("plain")
    assert "Hello Ada &lt;b&gt;&amp; Söhne&lt;/b&gt;," in taken.part("html")
    assert f'<a href="{URL}">{URL}</a>' in taken.part("html")
    assert max(len(line) for line in taken.content.split(b"\r\n")) < 998
    assert taken.content.isascii()


@pytest.mark.parametrize(("security", "scheme"), [("starttls", "smtp"), ("tls", "smtps")])
async def test_it_is_protected_and_signed_in(tmp_path: Path, security: str, scheme: str) -> None:
    async with mail_server(tmp_path, security, demands_sign_in=security == "starttls") as server:  # type: ignore[arg-type]
        who = f"{USER}:{quote(SECRET, safe='')}@" if security == "starttls" else ""
        assert await channel(server, scheme, who).send(LINK) == Sent()
    assert server.taken[0].was_protected
    assert server.taken[0].signed_in_as == (USER if security == "starttls" else None)


@pytest.mark.parametrize("who", ["", f"{USER}:{quote(SECRET, safe='')}@"], ids=["nobody", "somebody"])
async def test_a_server_without_starttls_gets_nothing_in_clear(tmp_path: Path, who: str) -> None:
    """Whoever strips STARTTLS from the connection gets no mail for it."""
    async with mail_server(tmp_path) as server:
        outcome = await channel(server, "smtp", who).send(LINK)
    assert isinstance(outcome, RetryLater)
    assert (server.taken, outcome.may_have_arrived) == ([], False)


@pytest.mark.parametrize(("security", "scheme"), [("starttls", "smtp"), ("tls", "smtps")])
async def test_a_certificate_that_does_not_hold_gets_nothing(tmp_path: Path, security: str, scheme: str) -> None:
    async with mail_server(tmp_path, security) as server:  # type: ignore[arg-type]
        outcome = await channel(server, scheme, trusts=False).send(LINK)
    assert isinstance(outcome, RetryLater)
    assert server.taken == []


@pytest.mark.parametrize("answer", ["450 4.2.0 greylisted", "550 5.1.1 ada@example.com is nobody here"])
async def test_4yz_may_work_later_and_5yz_will_not(tmp_path: Path, answer: str) -> None:
    async with mail_server(tmp_path) as server:
        server.rcpt_answers = [answer]
        to_recipient = await channel(server).send(LINK)
        server.data_answers = [answer]
        to_data = await channel(server).send(LINK)
    wanted = f"the server answered {answer[:3]}"
    kind = RetryLater if answer[0] == "4" else Rejected
    assert (to_recipient, to_data) == (kind(wanted), kind(wanted))
    assert server.taken == []


@pytest.mark.parametrize("answer", ["hang", "drop"])
async def test_without_an_answer_after_the_last_dot_nobody_knows(tmp_path: Path, answer: str) -> None:
    async with mail_server(tmp_path) as server:
        server.data_answers = [answer]
        outcome = await channel(server).send(LINK)
    assert isinstance(outcome, RetryLater)
    assert outcome.may_have_arrived
    assert len(server.taken) == 1


async def test_a_server_that_is_not_there_or_says_nothing_is_tried_later() -> None:
    silent = await asyncio.start_server(lambda reader, writer: None, HOST, 0)
    port = silent.sockets[0].getsockname()[1]
    quiet = EmailChannel(server_of(f"smtp+plain://{HOST}:{port}"), SENDER, answer_seconds=0.2)
    assert await quiet.send(LINK) == RetryLater("SMTPConnectTimeoutError")
    silent.close()
    gone = EmailChannel(server_of(f"smtp+plain://{HOST}:1"), SENDER)
    assert await gone.send(LINK) == RetryLater("SMTPConnectError")


async def test_a_refused_sign_in_is_for_the_operator_to_repair(tmp_path: Path) -> None:
    async with mail_server(tmp_path, "starttls", demands_sign_in=True) as server:
        outcome = await channel(server, "smtp", f"{USER}:wrong@").send(LINK)
    assert outcome == RetryLater("the server refused the sign-in with 535")
    assert server.taken == []
