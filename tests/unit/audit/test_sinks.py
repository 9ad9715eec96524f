"""What sinks decide, and how an entry reads as syslog: for every input."""

import re
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.webhooks import secret_bytes
from services.audit.models import sinks, syslog
from services.audit.models.sinks import Outgoing, Place
from tests.support.receivers import HEADER

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@given(st.lists(st.integers(1, 400), max_size=60), st.integers(1, 20), st.integers(1, 1000))
def test_batches_take_every_entry_once_in_order_and_within_bounds(sizes: list[int], most: int, most_bytes: int) -> None:
    log = [Place(sequence * 3, size) for sequence, size in enumerate(sizes)]
    stop, cursor, taken = len(sizes) * 3 + 5, 0, []
    while cursor < stop:
        found = [place for place in log if place.sequence >= cursor][:most]
        ends = sinks.ends_of(found, stop=stop, most_entries=most, most_bytes=most_bytes)
        batch = [place for place in log if cursor <= place.sequence < ends]
        assert len(batch) <= most
        assert sum(place.size for place in batch[:-1]) < most_bytes
        assert ends > cursor
        taken += batch
        cursor = ends
    assert taken == log


@given(st.text(max_size=300), st.text(max_size=400), st.sampled_from(list(syslog.SEVERITIES)))
def test_whatever_an_entry_says_makes_one_line_of_rfc_5424(action: str, hostname: str, severity: str) -> None:
    entry = Outgoing(7, "0199a0c0-0000-7000-8000-000000000001", action, severity, NOW, b'{"a":1}')
    try:
        action.encode()
    except UnicodeEncodeError:
        return
    text = syslog.message(entry, hostname=hostname)
    found = HEADER.fullmatch(text)
    assert found is not None
    assert found["text"] == b'{"a":1}'
    assert re.fullmatch(rb"[\x21-\x7e]{1,255}", found["host"])
    assert re.fullmatch(rb"[\x21-\x7e]{1,32}", found["msgid"])
    assert b"\n" not in text
    said = re.search(rb' action="((?:[^"\\\]]|\\.)*)"$', found["sd"], re.DOTALL)
    assert said is not None
    read = re.sub(rb"\\(.)", rb"\1", said[1], flags=re.DOTALL).decode()
    assert read == re.sub(r"[\x00-\x1f\x7f-\x9f]", "?", action)


@given(st.integers(1, 10_000), st.one_of(st.none(), st.floats(0, 1e9)))
def test_pauses_are_bounded_and_never_shorter_than_asked_for(failures: int, asked: float | None) -> None:
    pause = sinks.pause_seconds(failures, retry_after_seconds=asked)
    assert 0.5 <= pause <= max(sinks.MOST_PAUSE_SECONDS, sinks.MOST_RETRY_AFTER_SECONDS)
    assert pause >= min(asked or 0.0, sinks.MOST_RETRY_AFTER_SECONDS)


@pytest.mark.parametrize(
    ("is_enabled", "failing", "is_reported", "state"),
    [
        (True, None, False, "ok"),
        (True, 299, False, "retrying"),
        (True, 1, True, "failing"),
        (True, 300, False, "failing"),
        (False, None, False, "disabled"),
        (False, 900, True, "disabled"),
    ],
)
def test_states(is_enabled: bool, failing: int | None, is_reported: bool, state: str) -> None:
    since = None if failing is None else NOW - timedelta(seconds=failing)
    sink: Any = SimpleNamespace(is_enabled=is_enabled, failing_since=since, is_reported=is_reported)
    assert sinks.state_of(sink, NOW) == state


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (None, None), ("120", 120.0), ("0", 0.0), ("-5", None), ("soon", None), ("1.5", None), ("٣", None),
        ("Thu, 01 Jan 2026 00:02:00 GMT", 120.0), ("Wed, 31 Dec 2025 23:00:00 GMT", 0.0), ("9" * 40, 999_999_999.0),
    ],
    ids=range(10),
)  # fmt: skip
def test_what_a_receiver_asks_for_is_read_in_both_forms(text: str | None, seconds: float | None) -> None:
    assert sinks.seconds_of(text, now=NOW.timestamp()) == seconds


@pytest.mark.parametrize(
    "text", ["", "whsec_", "whsec_c2hvcnQ=", "whsec_!!!!", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_" + "QUFB" * 22]
)
def test_a_secret_has_24_to_64_bytes_and_the_refusal_does_not_repeat_it(text: str) -> None:
    with pytest.raises(ValueError, match="whsec_ and the base64 of 24 to 64") as refused:
        secret_bytes(text)
    assert not text.removeprefix("whsec_") or text not in str(refused.value)


def test_the_published_example_of_a_secret_is_read() -> None:
    assert len(secret_bytes("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")) == 24
