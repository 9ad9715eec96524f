"""Entries at their receivers: real syslog over TCP and TLS, Standard Webhooks verified by the library of its authors."""

import re
from pathlib import Path
from typing import Any

import orjson

from tests.integration.audit.archive import Archive, platform_event, request_recorded
from tests.integration.audit.sinks import SECRET, Sinks, https_of, syslog_of
from tests.support.receivers import HEADER, certificate, syslog_receiver, webhook_receiver


async def fill(archive: Archive, count: int = 25) -> list[dict[str, Any]]:
    """Entries of several kinds; their bodies as the API answers them, in the log's order."""
    events = [
        request_recorded(data={"action": "view_user" if number % 5 else "delete_setting"})
        for number in range(count - 1)
    ]
    await archive.record(*events, platform_event(kind='com.shop."it\\s]".v1', severitytext="critical"))
    return sorted([entry async for entry in archive.walk("limit=200")], key=lambda entry: entry["sequence"])


async def test_every_entry_is_one_message_of_rfc_5424_in_order(archive: Archive, sinks: Sinks) -> None:
    entries = await fill(archive)
    async with syslog_receiver() as receiver:
        sink = await sinks.create(syslog_of(receiver))
        await sinks.stream(sinks.streamer(most_entries=10))
    assert [orjson.loads(parts(frame)["text"]) for frame in receiver.frames] == entries
    assert receiver.connections == 3, "three batches, a connection each"
    first, last = parts(receiver.frames[0]), parts(receiver.frames[-1])
    assert (first["pri"], first["app"], first["proc"], first["msgid"]) == (
        b"110",
        b"reeve-audit",
        b"-",
        b"delete_setting",
    )
    assert first["time"].decode() == entries[0]["created_at"]
    assert first["sd"] == f'reeve@32473 sequence="0" id="{entries[0]["id"]}" action="delete_setting"'.encode()
    assert last["sd"].endswith(b'action="com.shop.\\"it\\\\s\\]\\".v1"'), "quotes, backslashes and brackets are escaped"
    assert all(b"\n" not in frame and b"\r" not in frame for frame in receiver.frames)
    done = await sinks.view(sink)
    assert (done["state"], done["cursor"], done["backlog"], done["sent"]) == ("ok", 25, 0, 25)
    assert done["last_synced_at"] is not None


async def test_the_severity_of_a_message_is_that_of_its_entry(archive: Archive, sinks: Sinks) -> None:
    severities = {"critical": 2, "error": 3, "warning": 4, "info": 6}
    await archive.record(*[platform_event(severitytext=severity) for severity in severities])
    async with syslog_receiver() as receiver:
        await sinks.create(syslog_of(receiver))
        await sinks.stream()
    seen = {orjson.loads(parts(frame)["text"])["severity"]: int(parts(frame)["pri"]) for frame in receiver.frames}
    assert seen == {name: 13 * 8 + number for name, number in severities.items()}


async def test_tls_is_verified_by_the_authority_that_was_given(archive: Archive, sinks: Sinks, tmp_path: Path) -> None:
    entries = await fill(archive)
    context, pem = certificate(tmp_path)
    async with syslog_receiver(tls=context) as receiver:
        await sinks.create(syslog_of(receiver, tls=True, host="localhost", ca=pem))
        await sinks.stream()
        assert receiver.sequences == [entry["sequence"] for entry in entries]


async def test_a_certificate_of_another_or_for_another_gets_nothing(
    archive: Archive, sinks: Sinks, tmp_path: Path
) -> None:
    await fill(archive)
    context, _ = certificate(tmp_path)
    _, foreign = certificate(tmp_path, name="other")
    misnamed, known = certificate(tmp_path, name="elsewhere")
    async with syslog_receiver(tls=context) as untrusted, syslog_receiver(tls=misnamed) as wrong:
        for name, receiver, ca in (("a", untrusted, foreign), ("b", untrusted, None), ("c", wrong, known)):
            sink = await sinks.create(syslog_of(receiver, tls=True, host="localhost", ca=ca), name=name)
            streamer = sinks.streamer()
            assert not await streamer.turn((await streamer.due())[-1])
            found = await sinks.view(sink)
            assert "certificate" in found["last_error"], found
            assert (found["state"], found["cursor"]) == ("retrying", 0)
            await sinks.delete(sink)
        assert untrusted.frames == wrong.frames == []


async def test_a_batch_over_https_is_verified_by_the_library_of_standard_webhooks(
    archive: Archive, sinks: Sinks
) -> None:
    entries = await fill(archive)
    async with webhook_receiver(SECRET) as receiver:
        sink = await sinks.create(https_of(receiver.url))
        await sinks.stream(sinks.streamer(most_entries=10))
    assert [entry for body in receiver.taken for entry in body["data"]["entries"]] == entries
    assert {body["type"] for body in receiver.taken} == {"audit.entries"}
    assert [(body["data"]["first"], body["data"]["last"]) for body in receiver.taken] == [(0, 9), (10, 19), (20, 24)]
    assert len(set(receiver.ids)) == 3
    assert all(re.fullmatch(r"[A-Za-z0-9_]+", one) for one in receiver.ids)
    assert (await sinks.view(sink))["cursor"] == 25


async def test_only_what_the_filters_find_is_sent_and_the_cursor_passes_the_rest(
    archive: Archive, sinks: Sinks
) -> None:
    entries = await fill(archive)
    wanted = [entry["sequence"] for entry in entries if entry["action"] == "delete_setting"]
    async with syslog_receiver() as receiver:
        sink = await sinks.create(syslog_of(receiver), filters={"action": "delete_setting"})
        nothing = await sinks.create(syslog_of(receiver), name="none", filters={"action": ["no_such"]})
        await sinks.stream(sinks.streamer(most_entries=2))
    assert receiver.sequences == wanted
    assert (await sinks.view(sink))["cursor"] == len(entries)
    passed = await sinks.view(nothing)
    assert (passed["cursor"], passed["sent"], passed["last_synced_at"]) == (len(entries), 0, None)


async def test_ocsf_is_sent_where_it_was_chosen(archive: Archive, sinks: Sinks) -> None:
    await fill(archive)
    async with webhook_receiver(SECRET) as receiver:
        await sinks.create(https_of(receiver.url), format="ocsf")
        await sinks.stream()
    [body] = receiver.taken
    assert {entry["metadata"]["version"] for entry in body["data"]["entries"]} == {"1.8.0"}
    assert len(body["data"]["entries"]) == 25


async def test_a_sink_starts_with_what_comes_after_it_unless_told_otherwise(archive: Archive, sinks: Sinks) -> None:
    await fill(archive)
    async with syslog_receiver() as receiver:
        sink = await sinks.create(syslog_of(receiver), starts="now")
        await sinks.stream()
        assert receiver.frames == []
        await archive.record(platform_event())
        assert (await sinks.view(sink))["backlog"] == 1
        await sinks.stream()
        assert receiver.sequences == [25]
        await sinks.change(sink, starts="beginning")
        await sinks.stream()
        assert receiver.sequences == [25, *range(26)]


async def test_a_test_says_that_it_is_one_and_moves_nothing(archive: Archive, sinks: Sinks) -> None:
    await fill(archive)
    async with webhook_receiver(SECRET) as hook, syslog_receiver() as syslog:
        for sink in (
            await sinks.create(https_of(hook.url), name="hook", is_enabled=False),
            await sinks.create(syslog_of(syslog), name="syslog", is_enabled=False),
        ):
            asked = (await sinks.ask_test(sink)).data["result"]
            waiting = await sinks.view(sink)
            assert (waiting["last_test"]["id"], waiting["last_test"]["state"]) == (asked["test_id"], "waiting")
            await sinks.stream()
            tested = await sinks.view(sink)
            assert tested["last_test"]["state"] == "passed"
            assert (tested["state"], tested["cursor"]) == ("disabled", 0)
        assert [body["type"] for body in hook.taken] == ["audit.sink_test"]
        assert [parts(frame)["msgid"] for frame in syslog.frames] == [b"sink_test"]
        port = syslog.port
    await sinks.ask_test(sink)
    await sinks.stream()
    failed = await sinks.view(sink)
    assert failed["last_test"]["state"] == "failed", port
    assert "did not confirm" in failed["last_test"]["error"]


def parts(frame: bytes) -> dict[str, bytes]:
    """A message taken apart by the grammar of RFC 5424."""
    found = HEADER.fullmatch(frame)
    assert found is not None, frame[:200]
    return found.groupdict()
