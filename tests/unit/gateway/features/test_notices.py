"""What a letter with notices says of them."""

from datetime import UTC, datetime, timedelta

import pytest

from libs.common.events.deliveries import MOST_LINES
from services.gateway.features.links.models import Recipient
from services.gateway.features.notices.models import Notice, mail_of

ADA = Recipient("u-ada", "ada@example.com", "Ada")
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def notices(count: int) -> list[Notice]:
    """Oldest first, a minute apart."""
    return [Notice(f"n{number}", "sessions_ended", {}, NOW + timedelta(minutes=number)) for number in range(count)]


@pytest.mark.parametrize(
    ("count", "told", "more"), [(1, 1, 0), (MOST_LINES, MOST_LINES, 0), (MOST_LINES + 3, MOST_LINES, 3)]
)
def test_the_newest_are_told_one_by_one_and_the_others_counted(count: int, told: int, more: int) -> None:
    mail = mail_of(ADA, notices(count), public_url=None)
    assert (len(mail.lines), mail.more) == (told, more)
    assert mail.lines[-1].at == NOW + timedelta(minutes=count - 1)
    assert [line.at for line in mail.lines] == sorted(line.at for line in mail.lines)


def test_network_and_program_are_told_where_they_are_known() -> None:
    one = Notice("n", "new_device", {"network": "203.0.113.0/24", "device": "Firefox"}, NOW)
    (line,) = mail_of(ADA, [one], public_url="https://reeve.example.com").lines
    assert (line.network, line.device) == ("203.0.113.0/24", "Firefox")


@pytest.mark.parametrize("name", ["two\nlines", ""])
def test_a_recipient_to_whom_no_mail_can_be_made_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        mail_of(Recipient("u", "ada@example.com", name), notices(1), public_url=None)
