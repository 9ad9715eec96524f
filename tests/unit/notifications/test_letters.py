"""What a mail is made of: nothing that somebody chose can become a header, markup or a second line."""

from datetime import UTC, datetime, timedelta
from email.headerregistry import Address
from email.parser import BytesParser
from email.policy import SMTP

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from libs.common.errors import ConfigError
from libs.common.events.deliveries import ADDRESS_PATTERN, LinkMail
from services.notifications.channels.console import ConsoleChannel
from services.notifications.channels.email import Security, message_of, recipient_of, server_of
from services.notifications.channels.letters import letter_of
from services.notifications.channels.outcomes import Outgoing
from services.notifications.config import Config, address_of
from services.notifications.deliverer import retry_seconds

NOW = datetime(2026, 1, 1, tzinfo=UTC)
URL = "https://reeve.example.com/activate#token=abc"
SENDER = Address("Reeve", addr_spec="reeve@example.com")
NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=200)


def link(name: str = "Ada", address: str = "ada@example.com", url: str = URL) -> Outgoing:
    mail = LinkMail(address=address, name=name, url=url)
    return Outgoing("0199a0c0-0000-7000-8000-000000000001", "password_reset", mail, NOW, NOW + timedelta(hours=1))


@given(NAMES)
def test_whatever_the_name_the_headers_are_ours(name: str) -> None:
    message = message_of(link(name), SENDER, recipient_of("ada@example.com"))
    read = BytesParser(policy=SMTP).parsebytes(message.as_bytes())
    assert sorted(read.keys()) == sorted(
        ["From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "MIME-Version", "Content-Type"]
    )
    assert (read["to"], read["subject"]) == ("ada@example.com", "Choose another password")
    html = letter_of(link(name)).html
    assert html.count("<") == letter_of(link("Ada")).html.count("<")


ADDRESSES = st.from_regex(ADDRESS_PATTERN, fullmatch=True).filter(
    lambda text: len(text) <= 254 and text.isascii() and text.isprintable()
)


@given(ADDRESSES)
def test_every_address_that_an_account_may_have_is_one_recipient(address: str) -> None:
    recipient = recipient_of(address)
    message = message_of(link(address=address), SENDER, recipient).as_bytes()
    assert not any(one in recipient.addr_spec for one in " \r\n<>,;")
    if ".." not in recipient.domain:  # which no server takes
        (found,) = BytesParser(policy=SMTP).parsebytes(message)["to"].addresses
        assert f"{found.username}@{found.domain}" == address


@pytest.mark.parametrize(
    "bad",
    [
        {"address": "ada@example.com\r\nBcc: eve@example.com"},
        {"address": "ada@example.com, eve@example.com"},
        {"address": "ada@example.com\n"},
        {"address": "Ada <ada@example.com>"},
        {"address": "<ada@example.com>@"},
        {"address": "a,b@example.com"},
        {"address": '"a b"@example.com'},
        {"name": "Ada\r\nSubject: other"},
        {"name": "Ada\x1b[2J"},
        {"name": ""},
        {"url": "javascript:alert(1)"},
        {"url": f"{URL}\r\n"},
        {"url": f'{URL} "onclick'},
    ],
)
def test_what_could_leave_its_line_is_no_mail(bad: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        LinkMail(**{"address": "ada@example.com", "name": "Ada", "url": URL, **bad})


async def test_the_console_prints_one_clear_line(capsys: pytest.CaptureFixture[str]) -> None:
    await ConsoleChannel().send(link())
    printed = capsys.readouterr()
    assert printed.out == f"password reset link for ada@example.com (once, until 2026-01-01 01:00 UTC): {URL}\n"
    assert printed.err == ""


@pytest.mark.parametrize(
    ("url", "security", "port", "username", "password"),
    [
        ("smtps://mail.example.com", Security.TLS, 465, None, None),
        ("smtp://mail.example.com", Security.STARTTLS, 587, None, None),
        ("smtp://u%40x:p%2Fw@mail.example.com:2525", Security.STARTTLS, 2525, "u@x", "p/w"),
        ("smtp+plain://127.0.0.1/", Security.NONE, 25, None, None),
    ],
)
def test_a_server_is_read_from_its_url(
    url: str, security: Security, port: int, username: str | None, password: str | None
) -> None:
    found = server_of(url)
    assert (found.security, found.port, found.username, found.password) == (security, port, username, password)
    assert password is None or password not in repr(found)


@pytest.mark.parametrize(
    "url",
    [
        "http://mail.example.com", "mail.example.com", "smtp://", "smtp://h:99999", "smtp://h/path", "smtp://h?x=1",
        "smtp://user@h", "smtp+plain://user:sesame@h", "smtps://h#x",
    ],
)  # fmt: skip
def test_what_is_no_server_is_refused_and_not_repeated(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REEVE_SMTP_URL", url)
    monkeypatch.setenv("REEVE_MAIL_FROM", "reeve@example.com")
    with pytest.raises(ConfigError, match="REEVE_SMTP_URL") as refused:
        Config.load()
    assert "sesame" not in str(refused.value)


@pytest.mark.parametrize(
    "sender",
    [
        "",
        "reeve",
        "a@x.example, b@x.example",
        "Reeve <reeve@example.com>\r\nBcc: x@y.example",
        "<>",
        "réeve@example.com",
    ],
)
def test_a_sender_is_one_address_and_there_where_its_server_is(sender: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REEVE_SMTP_URL", "smtp://mail.example.com")
    monkeypatch.setenv("REEVE_MAIL_FROM", sender)
    with pytest.raises(ConfigError, match="REEVE_MAIL_FROM"):
        Config.load()


def test_a_sender_may_have_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    found = address_of('"Reeve, of Söhne" <reeve@example.com>')
    assert (found.display_name, found.addr_spec) == ("Reeve, of Söhne", "reeve@example.com")
    monkeypatch.setenv("REEVE_MAIL_FROM", "Reeve <reeve@example.com>")
    monkeypatch.delenv("REEVE_SMTP_URL", raising=False)
    assert Config.load().mail_server is None


def test_attempts_become_rarer_and_never_rarer_than_a_quarter_of_an_hour() -> None:
    waits = [retry_seconds(attempt, jitter=0) for attempt in range(1, 100)]
    assert waits[:4] == [5, 10, 20, 40]
    assert waits == sorted(waits)
    assert max(waits) == 900
    assert retry_seconds(1, jitter=1) == 2.5
