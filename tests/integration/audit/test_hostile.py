"""What the worst events become: an entry that can be read and found again, or a dead letter; never a stuck consumer."""

import asyncio
import string
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from libs.common.broker.transport import Message
from services.audit.models.texts import MOST_JSON_BYTES
from tests.integration.audit.archive import Archive, Built, message_of, platform_event, request_recorded
from tests.support.eventually import eventually


def deep(levels: int) -> Any:
    found: Any = "bottom"
    for level in range(levels):
        found = {"down": found} if level % 2 else [found]
    return found


HOSTILE: dict[str, Any] = {
    "U+0000": {"a\x00b": "c\x00d", "\x00": ["\x00"], "text": "\\u0000 and \\\x00"},
    "line separators": {"a\u2028b": "\u2028\u2029\x1b[31m\x7f\r\n"},
    "long text": {"text": "x" * 200_000, "short": "kept"},
    "long key": {"k" * 100_000: 1, "short": "kept"},
    "many keys": {f"key{number}": number for number in range(10_000)},
    "a long list": {"list": list(range(50_000)), "short": "kept"},
    "deep": {"deep": deep(28)},
    "large numbers": {"integer": 2**63 - 1, "negative": -(2**63), "float": 1.7976931348623157e308, "small": 5e-324},
    "escapes": {"text": '\\" \\\\u0000 \\u0000 \\ud800', "marker": {"_truncated": False}},
    "not an object": ["just", "a", "list"],
    "a text": "just a text",
    "nothing": None,
    "reserved names": {"origin": {"username": "root"}, "changes": {"x": 1}, "action": "sign_in", "outcome": "denied"},
    "right to left": {"name": "\u202egnp.exe", "emoji": "👩‍👩‍👧‍👦" * 50, "zalgo": "Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍A̴̵̜̰͔ͫ͗͢L̠ͨͧͩ͘G̴̻͈͍͔̹̑͗̎̅͛́Ǫ̵̹̻̝̳͂̌̌͘!"},
}


@pytest.mark.parametrize("sent", HOSTILE.values(), ids=HOSTILE.keys())
async def test_hostile_data_is_stored_beside_its_neighbours(archive: Archive, sent: Any) -> None:
    before = request_recorded()
    hostile = platform_event(data=sent, subject="thing/\x00\u2028" + "i" * 490, actorid="\x00", correlationid="\x00")
    after = request_recorded()
    await archive.record(before, hostile, after)
    assert await archive.found() == [after.id, hostile.id, before.id]
    [entry] = (await archive.body("/logs?source=/platform/shop"))["logs"]
    assert entry["target_id"] == "\ufffd\u2028" + "i" * 253
    assert entry["admin_user_id"] is entry["changes"] is entry["ip_address"] is None
    assert entry["outcome"] == "success"
    assert len(orjson.dumps(entry["details"])) <= MOST_JSON_BYTES
    is_cut = len(orjson.dumps(sent)) > MOST_JSON_BYTES
    assert (entry["details"].get("_truncated") is True) == is_cut
    if isinstance(sent, dict) and not is_cut:
        assert entry["details"] == without_nul(sent)
    if isinstance(sent, dict) and "short" in sent:
        assert entry["details"]["short"] == "kept"
        assert entry["details"]["_bytes"] > 100_000


def without_nul(value: Any) -> Any:
    match value:
        case str():
            return value.replace("\x00", "\ufffd")
        case dict():
            return {without_nul(name): without_nul(below) for name, below in value.items()}
        case list():
            return [without_nul(below) for below in value]
        case _:
            return value


async def test_attributes_that_lie_are_kept_out_of_the_columns(archive: Archive) -> None:
    """A platform may claim to be an administrator, an operation, a trace; only its own words say so."""
    liar = platform_event(
        actorid="0199a0c0-0000-7000-8000-00000000000a", actortype="admin", causationid="operation-1",
        traceparent="00-" + "\x00" * 32 + "-00f067aa0ba902b7-01", severitytext="CRITICAL",
        data={"operation_id": "operation-1", "origin": {"username": "root", "ip_address": "127.0.0.1"}},
    )  # fmt: skip
    await archive.record(liar)
    [entry] = (await archive.body("/logs"))["logs"]
    assert {name: entry[name] for name in ("admin_user_id", "admin_username", "operation_id", "ip_address", "trace_id")} == {
        "admin_user_id": None, "admin_username": None, "operation_id": None, "ip_address": None, "trace_id": None,
    }  # fmt: skip
    assert (entry["actor_type"], entry["severity"]) == ("client", "critical")
    assert entry["details"] == liar.data
    assert await archive.value("SELECT actor_id FROM entries") == liar.actorid


@pytest.mark.parametrize("field", ["username", "ip_address", "user_agent", "request_id", "session_id"])
async def test_what_a_caller_sends_of_itself_is_bounded(archive: Archive, field: str) -> None:
    await archive.record(request_recorded(origin={field: "\x00" + "é" * 5000}))
    [entry] = (await archive.body("/logs"))["logs"]
    assert len(orjson.dumps(entry)) < 3000


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.text()
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda below: st.lists(below, max_size=4) | st.dictionaries(st.text(max_size=20), below, max_size=4),
    max_leaves=20,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=json_values, subject=st.text(min_size=1, max_size=512), actor=st.text(min_size=1, max_size=100))
async def test_any_event_can_be_stored_and_read(archive: Archive, data: Any, subject: str, actor: str) -> None:
    ours = request_recorded(
        data={"changes": data, "more": data}, subject=subject, actorid=actor, origin={"username": actor}
    )
    await archive.record(ours, platform_event(data=data, subject=subject, actorid=actor))
    logs = (await archive.body("/logs?limit=2"))["logs"]
    assert {entry["event_id"] for entry in logs} >= {ours.id}
    if isinstance(data, dict) and not any(surrogates(text) for text in texts(data)):
        stored = orjson.loads(await archive.value("SELECT details::text FROM entries ORDER BY sequence DESC LIMIT 1"))
        assert stored == without_nul(data)


def texts(value: Any) -> list[str]:
    match value:
        case str():
            return [value]
        case dict():
            return [*value, *[text for below in value.values() for text in texts(below)]]
        case list():
            return [text for below in value for text in texts(below)]
        case _:
            return []


def surrogates(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


def broken(message: Message, **given_: Any) -> Message:
    return message._replace(**given_)


async def test_what_cannot_be_an_event_is_parked_and_the_rest_goes_on(built: Built, archive: Archive) -> None:
    good = [request_recorded(producerseq=number) for number in (1, 2)]
    shop = message_of(platform_event(), app_id="shop")
    bad = [
        broken(shop, body=b"{"),
        broken(shop, body=b"[" * 100_000),
        broken(shop, body=orjson.dumps({"specversion": "1.0", "id": "1"})),
        broken(shop, body=string.printable.encode(), content_type="text/plain"),
        broken(shop, body=b"\xff\xfe\x00"),
        message_of(platform_event(data={"text": "x" * 300_000}), app_id="shop"),
        message_of(request_recorded()._replace(type="reeve.unheard.of.v1"), app_id="shop"),
    ]
    consuming = asyncio.ensure_future(built.service.tasks[0]())
    await built.transport.publish(message_of(good[0]))
    await asyncio.gather(*[built.transport.publish(message) for message in bad])
    await built.transport.publish(message_of(good[1]))
    await eventually(lambda: archive.value("SELECT count(*) = 2 FROM entries"))
    await eventually(lambda: archive.value("SELECT count(*) = $1 FROM dead_letters", len(bad)))
    consuming.cancel()
    await asyncio.gather(consuming, return_exceptions=True)
    reasons = {row["reason"].partition(":")[0] for row in await archive.rows("SELECT reason FROM dead_letters")}
    assert reasons <= {"malformed", "too_large", "source_not_allowed", "sender_not_registered"}
    assert await archive.found() == [event.id for event in reversed(good)]


async def test_the_first_and_the_last_moment_there_are_can_be_read_again(archive: Archive) -> None:
    moments = [datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)]
    await archive.record(*[platform_event(time=moment) for moment in moments])
    listed = (await archive.body("/logs?sort=created_at"))["logs"]
    assert [entry["created_at"] for entry in listed] == [
        "0001-01-01T00:00:00.000001Z", "9999-12-31T23:59:59.999998Z",
    ]  # fmt: skip
