"""How claimed rows become messages."""

from hypothesis import given
from hypothesis import strategies as st

from libs.common.delivery.packing import FIRST_NUMBER, LAST_NUMBER, MOST_BYTES, MOST_EVENTS, packs, to_message
from libs.common.events.envelope import BATCH, STRUCTURED, decode_message
from tests.support.makers import a_claimed_row


def test_consecutive_rows_of_one_type_travel_together() -> None:
    made = list(packs([a_claimed_row(n) for n in range(1, 8)]))
    assert [len(pack.rows) for pack in made] == [7]


def test_another_type_ends_the_pack_and_order_stays() -> None:
    types = ["com.a.x", "com.a.x", "com.b.y", "com.a.x"]
    made = list(packs([a_claimed_row(n, type=kind) for n, kind in enumerate(types, 1)]))
    assert [[row.position for row in pack.rows] for pack in made] == [[1, 2], [3], [4]]


def test_a_pack_is_bounded_by_count_and_bytes() -> None:
    assert [len(pack.rows) for pack in packs([a_claimed_row(n) for n in range(1, 102)])] == [
        MOST_EVENTS,
        MOST_EVENTS,
        1,
    ]
    long = [a_claimed_row(n, data={"text": "x" * 30_000}) for n in range(1, 5)]
    assert all(pack.size <= MOST_BYTES for pack in packs(long))


def test_one_event_is_structured_with_mirrored_attributes_and_several_are_a_batch() -> None:
    alone = to_message(next(packs([a_claimed_row(4, subject="setting/theme")])), producer="gateway")
    assert alone.content_type == STRUCTURED
    assert alone.headers["cloudEvents_subject"] == "setting/theme"
    assert alone.headers["cloudEvents_producerseq"] == "4"
    several = to_message(next(packs([a_claimed_row(4), a_claimed_row(5)])), producer="gateway")
    assert several.content_type == BATCH
    assert (several.headers[FIRST_NUMBER], several.headers[LAST_NUMBER]) == ("4", "5")


@given(st.lists(st.tuples(st.sampled_from(["com.a", "com.b"]), st.sampled_from(["events", "settings.commands"]))))
def test_every_row_travels_once_in_order_within_its_stream(rows: list[tuple[str, str]]) -> None:
    claimed = [a_claimed_row(n, type=kind, stream=stream) for n, (kind, stream) in enumerate(rows, 1)]
    travelled = [row for pack in packs(claimed) for row in pack.rows]
    assert sorted(row.position for row in travelled) == [row.position for row in claimed]
    for stream in ("events", "settings.commands"):
        positions = [row.position for row in travelled if row.stream == stream]
        assert positions == sorted(positions)


def test_a_message_is_read_back_with_its_numbers() -> None:
    message = to_message(next(packs([a_claimed_row(n, producerseq=n + 40) for n in (1, 2, 3)])), producer="gateway")
    events = decode_message(message.content_type, message.headers, message.body)
    assert [event.producerseq for event in events] == [41, 42, 43]
