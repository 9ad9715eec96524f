"""The envelope: what is written is read back, and what is malformed is refused with a reason."""

import string
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from cloudevents.core.bindings.amqp import to_binary, to_structured
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from hypothesis import given
from hypothesis import strategies as st

from libs.common.events.envelope import (
    BATCH,
    STRUCTURED,
    Event,
    MalformedEvent,
    decode,
    decode_message,
    depth_exceeds,
    encode,
    pack,
    splice_producerseq,
)
from tests.support.makers import an_event

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)


@given(JSON, st.datetimes(timezones=st.just(UTC)))
def test_what_is_written_is_read_back(data: Any, time: datetime) -> None:
    event = an_event(
        data=data, time=time, subject="setting/theme", severitytext="critical", extensions={"tenantid": "a1"}
    )
    assert decode(encode(event)) == event


def test_a_number_is_spliced_in_without_parsing() -> None:
    event = an_event(subject="user/1")
    assert decode(splice_producerseq(encode(event), 7)) == event.numbered(7)


def test_a_batch_is_read_in_order() -> None:
    events = [an_event(type=f"com.a.{letter}") for letter in string.ascii_lowercase]
    assert decode_message(f"{BATCH}; charset=utf-8", {}, pack([encode(event) for event in events])) == events


SDK_EVENT = CloudEvent(
    attributes={
        "id": "order-1", "source": "/platform/shop", "type": "com.shop.sold.v1", "specversion": "1.0",
        "datacontenttype": "application/json", "subject": "order/1", "time": datetime(2026, 1, 2, tzinfo=UTC),
    },
    data={"total": 12},
)  # fmt: skip


def test_the_structured_form_of_the_sdk_is_read() -> None:
    message = to_structured(SDK_EVENT, JSONFormat())
    found = decode_message(message.properties["content-type"], message.application_properties, message.application_data)
    assert (found[0].id, found[0].subject, found[0].data) == ("order-1", "order/1", {"total": 12})


def test_the_binary_form_of_the_sdk_is_read() -> None:
    message = to_binary(SDK_EVENT, JSONFormat())
    found = decode_message(message.properties["content-type"], message.application_properties, message.application_data)
    assert (found[0].id, found[0].type, found[0].data) == ("order-1", "com.shop.sold.v1", {"total": 12})
    assert found[0].time == datetime(2026, 1, 2, tzinfo=UTC)


@pytest.mark.parametrize("prefix", ["cloudEvents_", "cloudEvents:", "ce-"])
def test_every_header_prefix_is_read(prefix: str) -> None:
    headers = {f"{prefix}{name}": value for name, value in
               {"specversion": "1.0", "id": "1", "source": "/platform/shop", "type": "com.a", "time": "2026-01-02T00:00:00Z"}.items()}  # fmt: skip
    assert decode_message("application/json", headers, b'{"a":1}')[0].data == {"a": 1}


def valid() -> dict[str, Any]:
    return {"specversion": "1.0", "id": "1", "source": "/platform/shop", "type": "com.a", "data": {}}


@pytest.mark.parametrize(
    "changed",
    [
        {"specversion": "0.3"}, {"specversion": None}, {"id": ""}, {"id": 3}, {"id": "x" * 256}, {"source": "a b"}, {"source": None},
        {"type": ""}, {"type": "a b"}, {"time": "yesterday"}, {"time": "2026-01-01T00:00:00"}, {"time": 5}, {"Upper": "x"},
        {"extension": [1]}, {"extension": "x" * 1025}, {"data_base64": "eA=="}, {"producerseq": "-1"}, {"producerseq": "1" * 19},
        {"subject": ""}, {"subject": "x" * 513}, {"severitytext": 3},
        {"id": "a\0b"}, {"subject": "a\0b"}, {"correlationid": "\0"}, {"tenantid": "\0"}, {"source": "/a\0"}, {"type": "a\0"},
    ],
)  # fmt: skip
def test_a_wrong_attribute_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(MalformedEvent):
        decode_message(STRUCTURED, {}, orjson.dumps({**valid(), **changed}))


@pytest.mark.parametrize(
    ("content_type", "body"),
    [(STRUCTURED, b"{"), (STRUCTURED, b"[]"), (STRUCTURED, b'"x"'), (BATCH, b"{}"), (BATCH, b"[1]"), ("application/cloudevents+avro", b"{}"),
     ("application/json", b"{}"), (None, b""), (STRUCTURED, b"[" * 100_000), (STRUCTURED, b'{"data":' * 60 + b"1" + b"}" * 60)],
)  # fmt: skip
def test_bytes_that_are_no_event_are_refused(content_type: str | None, body: bytes) -> None:
    with pytest.raises(MalformedEvent):
        decode_message(content_type, {}, body)


def test_too_deep_data_is_refused() -> None:
    deep: Any = 1
    for _ in range(40):
        deep = [deep]
    with pytest.raises(MalformedEvent, match="nested deeper"):
        decode_message(STRUCTURED, {}, orjson.dumps({**valid(), "data": deep}))


@given(JSON)
def test_depth_is_counted_without_recursion(value: Any) -> None:
    def depth(one: Any) -> int:
        inner = one.values() if isinstance(one, dict) else one if isinstance(one, list) else None
        return 0 if inner is None else 1 + max(map(depth, inner), default=0)

    for most in range(5):
        assert depth_exceeds(value, most) == (depth(value) > most)


def test_an_event_without_time_happens_now() -> None:
    before = datetime.now(UTC)
    assert before <= decode(orjson.dumps(valid())).time <= datetime.now(UTC)


def test_severity_is_info_unless_said() -> None:
    assert (an_event().severity, an_event(severitytext="CRITICAL").severity) == ("info", "critical")
    assert isinstance(an_event(), Event)
