"""Where a client is, and what is still remembered of what it missed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.broker.transport import Message
from libs.common.delivery.packing import FIRST_NUMBER, LAST_NUMBER
from libs.common.events.envelope import BATCH, encode, pack
from services.gateway.stream import cursor as cursors
from services.gateway.stream import ring as rings
from services.gateway.stream.ring import Heard, Ring
from tests.support.makers import an_event

PRODUCERS = st.from_regex(r"[a-z]{1,32}", fullmatch=True)


def heard(first: int, last: int | None = None, producer: str = "gateway") -> Heard:
    """A message with the events `first` to `last` of a producer."""
    last = last or first
    body = pack([encode(an_event().numbered(number)) for number in range(first, last + 1)])
    message = Message(
        body=body, content_type=BATCH, exchange="reeve.events", routing_key="t", message_id="m", type="t",
        app_id=producer, headers={FIRST_NUMBER: first, LAST_NUMBER: last},
    )  # fmt: skip
    return Heard(message, producer, first, last)


def numbers(ring: Ring, **after: int) -> list[int]:
    return [event.producerseq or 0 for _, event in ring.after(after)]


@given(st.dictionaries(PRODUCERS, st.integers(0, 10**18 - 1), min_size=1, max_size=cursors.MOST_PRODUCERS))
def test_what_is_written_is_read(cursor: dict[str, int]) -> None:
    assert cursors.read(cursors.write(cursor)) == cursor


@pytest.mark.parametrize(
    "text",
    ["", "gateway", "gateway-", "-1", "gateway--1", "Gateway-1", "gateway-1.", "gateway-1,audit-2", "gateway-1 ",
     "gateway-" + "9" * 19, "gateway-1\n", ".".join(f"{chr(97 + n)}-1" for n in range(17))],
)  # fmt: skip
def test_what_is_no_cursor_is_not_read(text: str) -> None:
    assert cursors.read(text) is None


@given(st.text(max_size=40))
def test_reading_never_fails(text: str) -> None:
    found = cursors.read(text)
    assert found is None or all(number >= 0 for number in found.values())


def test_the_ring_gives_what_came_after_a_place_inside_a_batch() -> None:
    ring = Ring()
    assert ring.add(heard(1, 5))
    assert ring.add(heard(6, 9))
    assert numbers(ring, gateway=3) == [4, 5, 6, 7, 8, 9]
    assert numbers(ring, gateway=9) == []
    assert ring.seen == {"gateway": 9}


def test_a_repeated_message_is_no_loss_and_moves_nothing_back() -> None:
    ring = Ring()
    ring.add(heard(1, 5))
    assert ring.add(heard(2, 5))
    assert ring.seen == {"gateway": 5}


def test_a_hole_is_a_loss_and_places_before_it_are_not_held() -> None:
    ring = Ring()
    ring.add(heard(1, 5))
    assert not ring.add(heard(8))
    assert not ring.holds_all_after({"gateway": 6})
    assert ring.holds_all_after({"gateway": 7})


def test_the_first_message_of_a_producer_is_no_loss_but_nothing_before_it_is_held() -> None:
    ring = Ring()
    assert ring.add(heard(120))
    assert not ring.holds_all_after({"gateway": 118})
    assert not ring.holds_all_after({})
    assert ring.holds_all_after({"gateway": 119})


def test_a_place_in_the_future_or_of_an_unheard_producer_is_not_held() -> None:
    ring = Ring()
    ring.add(heard(1))
    assert not ring.holds_all_after({"gateway": 2})
    assert not ring.holds_all_after({"gateway": 1, "audit": 1})


def test_what_was_dropped_for_space_is_not_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rings, "MOST_MESSAGES", 3)
    ring = Ring()
    for number in range(1, 6):
        ring.add(heard(number))
    assert not ring.holds_all_after({"gateway": 1})
    assert ring.holds_all_after({"gateway": 2})
    assert numbers(ring, gateway=2) == [3, 4, 5]


@given(sizes=st.lists(st.integers(1, 4), min_size=1, max_size=12), most=st.integers(1, 12), asked=st.integers(0, 50))
def test_whoever_is_told_that_all_is_held_gets_all_of_it(sizes: list[int], most: int, asked: int) -> None:
    ring, first = Ring(), 1
    before, rings.MOST_MESSAGES = rings.MOST_MESSAGES, most
    try:
        for size in sizes:
            ring.add(heard(first, first + size - 1))
            first += size
    finally:
        rings.MOST_MESSAGES = before
    if ring.holds_all_after({"gateway": asked}):
        assert numbers(ring, gateway=asked) == list(range(asked + 1, first))
