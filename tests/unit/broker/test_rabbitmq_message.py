"""Messages as AMQP properties and back, whatever the other side wrote."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from aiormq.abc import DeliveredMessage
from hypothesis import given
from hypothesis import strategies as st
from pamqp.commands import Basic
from pamqp.header import ContentHeader

from libs.common.broker import tolerance
from libs.common.broker.declare import Names
from libs.common.broker.rabbitmq_message import PERSISTENT, message_of, properties_of
from libs.common.broker.transport import Message
from tests.support.messages import event_message

tolerance.install()


def delivered(properties: Basic.Properties, *, exchange: str = "ns.reeve.events") -> DeliveredMessage:
    frame = Basic.Deliver(consumer_tag="c", delivery_tag=1, exchange=exchange, routing_key="a.b")
    header = ContentHeader(properties=properties, body_size=2)
    return DeliveredMessage(delivery=frame, header=header, body=b"{}", channel=None)  # type: ignore[arg-type]


def received(properties: Basic.Properties) -> Message:
    """What arrives after the properties went over the wire."""
    raw = properties.marshal()
    flags = int.from_bytes(raw[:2], "big")
    again = Basic.Properties()
    again.unmarshal(flags, raw[2:])
    return message_of(delivered(again), Names("ns"))


def test_a_message_comes_back_as_it_was_sent() -> None:
    sent = event_message(headers={"cloudEvents_id": "1", "n": 7, "yes": True})
    got = received(properties_of(sent, login="reeve_gateway", delivery_mode=PERSISTENT))
    assert (got.message_id, got.type, got.headers, got.app_id) == (sent.message_id, sent.type, sent.headers, "gateway")
    assert (got.exchange, got.sender) == ("reeve.events", "reeve_gateway")


def test_who_names_no_user_is_nobody() -> None:
    assert received(Basic.Properties(app_id="gateway")).sender == ""


def test_odd_header_values_become_what_json_knows() -> None:
    headers: dict[str, Any] = {
        "time": datetime(2026, 1, 2, tzinfo=UTC),
        "price": Decimal("1.5"),
        "bytes": bytearray(b"\x00\xff"),
        "nan": float("nan"),
        "list": [1, ["two"], {"three": None}],
        "nul": "a\0b",
        "x-delivery-count": 3,
    }
    got = received(Basic.Properties(headers=headers))
    assert got.headers == {
        "time": "2026-01-02T00:00:00Z", "price": "1.5", "bytes": "AP8=", "nan": "nan", "list": [1, ["two"], {"three": None}],
        "nul": "a\ufffdb",
    }  # fmt: skip


def test_deep_tables_are_cut() -> None:
    deep: dict[str, Any] = {}
    for _ in range(200):
        deep = {"t": deep}
    got = received(Basic.Properties(headers=deep))
    assert len(json.dumps(got.headers)) < 500


PLAIN = (
    st.none()
    | st.booleans()
    | st.integers(-(2**31), 2**31 - 1)
    | st.text(max_size=20)
    | st.binary(max_size=20).map(bytearray)
    | st.integers(0, 2**32).map(lambda seconds: datetime.fromtimestamp(seconds, tz=UTC))
)
NESTED = st.recursive(
    PLAIN,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=6,
)


@given(headers=st.dictionaries(st.text(max_size=20), NESTED, max_size=4))
def test_headers_are_always_json_without_nul(headers: dict[str, Any]) -> None:
    text = json.dumps(received(Basic.Properties(headers=headers)).headers, allow_nan=False)
    assert "\\u0000" not in text


@given(raw=st.binary(max_size=120), flags=st.integers(0, 0xFFFF))
def test_undecodable_text_tables_and_dates_break_nothing(raw: bytes, flags: int) -> None:
    """Lengths are the broker's business, so what is cut short may still be refused; its content never is."""
    for decoder in (tolerance.short_text, tolerance.table, tolerance.date):
        framed = {
            tolerance.short_text: bytes([len(raw)]) + raw,
            tolerance.table: len(raw).to_bytes(4, "big") + raw,
            tolerance.date: raw[:8].ljust(8, b"\xff"),
        }[decoder]
        consumed, _ = decoder(framed)
        assert consumed == len(framed)
