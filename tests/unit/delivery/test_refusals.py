"""Refused messages are told of at once, and then once a minute for each sender and reason, whatever came meanwhile."""

import pytest

from libs.common.broker.transport import Message
from libs.common.delivery.arrivals import Parked
from libs.common.delivery.refusals import MOST_NAMES, NOBODY, OTHERS, TOLD_SECONDS, Name, Refusals, name_of
from libs.common.events.all_types import CATALOG
from libs.common.events.refusals import MessagesRefused


class Book:
    """Refusals with a clock that the test turns."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.refusals = Refusals(source="/reeve/audit", queue="audit.events", clock=lambda: self.now)

    def come(self, *letters: Parked) -> dict[Name, int]:
        """Letters that are kept; what was told with them."""
        told = self.refusals.due(letters)
        self.refusals.note(letters, told)
        return told


def a_letter(sender: str | None = "shop", reason: str = "malformed: not JSON", app_id: str = "") -> Parked:
    message = Message(
        body=b"{", content_type="", exchange="reeve.events", routing_key="x", message_id="1", type="x", sender=sender,
        app_id=app_id,
    )  # fmt: skip
    return Parked(message, reason, None)


SHOP = Name("shop", "malformed")


def test_the_first_is_told_at_once_and_the_next_ones_a_minute_later_together() -> None:
    book = Book()
    assert book.come(a_letter(), a_letter()) == {SHOP: 2}
    for _ in range(500):
        assert book.come(a_letter()) == {}
    book.now += TOLD_SECONDS - 0.001
    assert book.come() == {}
    book.now += 0.001
    assert book.come(a_letter()) == {SHOP: 501}
    book.now += TOLD_SECONDS
    assert book.come() == {}


def test_what_is_left_is_told_though_nothing_more_comes() -> None:
    book = Book()
    book.come(a_letter())
    book.come(a_letter(), a_letter())
    book.now += TOLD_SECONDS
    assert book.come() == {SHOP: 2}


def test_senders_and_reasons_are_told_apart() -> None:
    book = Book()
    assert book.come(a_letter(), a_letter("thief"), a_letter(reason="too_large: over 262144 bytes")) == {
        SHOP: 1, Name("thief", "malformed"): 1, Name("shop", "too_large"): 1,
    }  # fmt: skip


def test_what_was_not_committed_is_not_told_and_counts_again() -> None:
    book = Book()
    assert book.refusals.due([a_letter()]) == {SHOP: 1}
    assert book.come(a_letter()) == {SHOP: 1}


def test_quiet_names_are_forgotten_and_all_beyond_the_bound_are_one() -> None:
    book = Book()
    book.come(*[a_letter(f"user{number}") for number in range(MOST_NAMES)])
    assert book.come(a_letter("one more"), a_letter("and another")) == {Name(OTHERS, "malformed"): 2}
    assert book.come(a_letter("user7")) == {}
    book.now += TOLD_SECONDS
    book.come()
    book.now += TOLD_SECONDS
    assert book.come(a_letter("one more")) == {Name("one more", "malformed"): 1}


@pytest.mark.parametrize(
    ("letter", "name"),
    [
        (a_letter(None), Name(NOBODY, "malformed")),
        (a_letter("reeve_settings", app_id="settings"), Name("settings", "malformed")),
        (a_letter("shop", app_id="settings"), SHOP),
        (a_letter(reason="failed 5 times: ValueError"), None),
        (a_letter("s" * 300, reason="r" * 100), Name("s" * 255, "r" * 64)),
    ],
)
def test_the_sender_is_whom_the_broker_vouches_for(letter: Parked, name: Name | None) -> None:
    assert name_of(letter) == name


def test_it_is_told_by_an_event_of_the_catalogue() -> None:
    (event,) = Book().refusals.events({SHOP: 3})
    assert (event.type, event.source, event.subject) == (MessagesRefused.TYPE, "/reeve/audit", "queue/audit.events")
    assert CATALOG.check(event) is None
    assert event.data == {"queue": "audit.events", "sender": "shop", "reason": "malformed", "count": 3}
