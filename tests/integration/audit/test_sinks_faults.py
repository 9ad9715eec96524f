"""Sinks when something goes wrong: nothing is lost, only what was not confirmed comes twice, and the order is kept."""

import asyncio
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from libs.common.database.engine import driver
from tests.integration.audit.archive import Archive, Built, platform_event
from tests.integration.audit.sinks import SECRET, Sinks, https_of, syslog_of
from tests.support.eventually import eventually
from tests.support.receivers import SyslogReceiver, certificate, cut_line, syslog_receiver, webhook_receiver
from tests.support.stem import Stem

ROOT = Path(__file__).parents[3]
LOG = 30


@pytest.fixture(autouse=True)
async def log(archive: Archive) -> None:
    """A log of 30 entries."""
    await archive.record(*[platform_event() for _ in range(LOG)])


def firsts(sequences: list[int]) -> list[int]:
    """Each place where it came first."""
    return list(dict.fromkeys(sequences))


async def test_a_receiver_that_is_away_gets_everything_when_it_is_back(sinks: Sinks) -> None:
    async with syslog_receiver() as receiver:
        sink = await sinks.create(syslog_of(receiver))
    await sinks.stream(turns=2)
    away = await sinks.view(sink)
    assert (away["state"], away["cursor"], away["backlog"]) == ("retrying", 0, LOG)
    assert away["last_error"].startswith("the receiver did not confirm")
    async with syslog_receiver(receiver=receiver):
        await sinks.stream()
    assert receiver.sequences == list(range(LOG))
    back = await sinks.view(sink)
    assert (back["state"], back["failures"], back["cursor"]) == ("ok", 0, LOG)


@pytest.mark.parametrize("after", [0, 1, 9])
async def test_a_connection_that_is_reset_has_its_batch_sent_again(sinks: Sinks, after: int) -> None:
    async with syslog_receiver() as receiver:
        receiver.resets = [10, after]
        await sinks.create(syslog_of(receiver))
        await sinks.stream(sinks.streamer(most_entries=10))
    assert receiver.sequences == [*range(10), *range(after), *range(LOG)]
    assert receiver.connections == 5


async def test_over_tls_whoever_cuts_the_line_in_order_confirms_nothing(sinks: Sinks, tmp_path: Path) -> None:
    context, pem = certificate(tmp_path)
    async with syslog_receiver(tls=context) as receiver, cut_line(receiver.port, after=[100, 3000, 6000]) as port:
        target = syslog_of(receiver, tls=True, host="localhost", ca=pem, port=port)
        sink = await sinks.create(target)
        for _ in range(3):
            await sinks.stream(sinks.streamer(most_entries=10) if sinks.usual is None else None, turns=1)
            failed = await sinks.view(sink)
            assert (failed["cursor"], failed["state"]) == (0, "retrying")
        await sinks.stream()
    assert firsts(receiver.sequences) == list(range(LOG))
    assert receiver.sequences[-LOG:] == list(range(LOG))


async def test_a_receiver_that_never_ends_its_side_has_confirmed_nothing(sinks: Sinks) -> None:
    async with syslog_receiver(receiver=SyslogReceiver(is_silent=True)) as receiver:
        sink = await sinks.create(syslog_of(receiver))
        await sinks.stream(sinks.streamer(send_seconds=0.3), turns=1)
    found = await sinks.view(sink)
    assert (found["cursor"], found["last_error"]) == (0, "the receiver did not confirm within 0.3 seconds")


@pytest.mark.parametrize("status", [301, 400, 404, 500, 503])
async def test_an_answer_that_is_not_2xx_is_tried_again_under_the_same_id(sinks: Sinks, status: int) -> None:
    async with webhook_receiver(SECRET) as receiver:
        receiver.answers = [web.Response(status=status, headers={"Location": receiver.url}), web.Response(status=204)]
        sink = await sinks.create(https_of(receiver.url))
        await sinks.stream(turns=1)
        failed = await sinks.view(sink)
        assert (failed["last_error"], failed["failures"]) == (f"the receiver answered {status}", 1)
        await archive_more(sinks)
        await sinks.stream(turns=1)
    assert len(receiver.ids) == 2, "no redirect is followed"
    assert receiver.ids[0] == receiver.ids[1]
    assert receiver.sequences == list(range(LOG)), "the batch that was begun, without what came meanwhile"


async def test_an_answer_that_is_lost_has_the_batch_sent_again_under_its_id(sinks: Sinks) -> None:
    async with webhook_receiver(SECRET) as receiver:
        receiver.answers = ["taken and cut", "cut"]
        await sinks.create(https_of(receiver.url))
        await sinks.stream(sinks.streamer(most_entries=20))
    assert len(receiver.ids) == 4
    assert receiver.ids[0] == receiver.ids[1] == receiver.ids[2]
    assert receiver.sequences == [*range(20), *range(20), *range(20, LOG)]


@pytest.mark.parametrize("says", ["seconds", "date"])
async def test_a_receiver_that_asks_for_time_is_given_it(sinks: Sinks, says: str) -> None:
    later = datetime.now(UTC) + timedelta(seconds=600)
    value = "600" if says == "seconds" else later.strftime("%a, %d %b %Y %H:%M:%S GMT")
    async with webhook_receiver(SECRET) as receiver:
        receiver.answers = [web.Response(status=429, headers={"Retry-After": value})]
        sink = await sinks.create(https_of(receiver.url))
        await sinks.stream()
        assert len(receiver.ids) == 1
    found = await sinks.view(sink)
    wait = datetime.fromisoformat(found["next_try_at"]) - datetime.now(UTC)
    assert timedelta(seconds=590) < wait <= timedelta(seconds=600)


async def test_a_receiver_that_is_gone_is_asked_no_more_and_people_are_told(sinks: Sinks, archive: Archive) -> None:
    async with webhook_receiver(SECRET) as receiver:
        receiver.answers = [web.Response(status=410)]
        sink = await sinks.create(https_of(receiver.url))
        await sinks.stream()
        assert len(receiver.ids) == 1
        gone = await sinks.view(sink)
        assert (gone["state"], gone["is_enabled"], gone["cursor"]) == ("disabled", False, 0)
        assert len(await sinks.told("reeve.sink.failed.v1")) == 1
        await sinks.change(gone, is_enabled=True)
        await sinks.stream()
    assert receiver.sequences == list(range(LOG))


async def test_people_are_told_once_that_a_sink_fails_for_long_and_once_that_it_recovered(
    sinks: Sinks, archive: Archive
) -> None:
    async with webhook_receiver(SECRET) as receiver:
        receiver.answers = [web.Response(status=500) for _ in range(4)]
        sink = await sinks.create(https_of(receiver.url))
        await sinks.stream(turns=1)
        assert await sinks.told("reeve.sink.failed.v1") == []
        async with archive.database.transaction() as session:
            await driver(session).execute("UPDATE sinks SET failing_since = now() - interval '301 seconds'")
        assert (await sinks.view(sink))["state"] == "failing"
        await sinks.stream(turns=3)
        assert len(await sinks.told("reeve.sink.failed.v1")) == 1
        await sinks.stream()
    assert len(await sinks.told("reeve.sink.recovered.v1")) == 1
    assert (await sinks.view(sink))["state"] == "ok"


async def test_a_slow_sink_holds_up_no_other(sinks: Sinks, archive: Archive) -> None:
    async with syslog_receiver(receiver=SyslogReceiver(is_silent=True)) as slow, syslog_receiver() as quick:
        await sinks.create(syslog_of(slow), name="slow")
        await sinks.create(syslog_of(quick), name="quick")
        running = asyncio.create_task(sinks.streamer(send_seconds=60.0, lease_seconds=90.0).run())
        try:
            await eventually(lambda: _come(quick, LOG))
            await archive_more(sinks)
            await eventually(lambda: _come(quick, LOG + 1))
            assert slow.connections == 1
        finally:
            running.cancel()


async def test_two_processes_send_for_a_sink_one_at_a_time(sinks: Sinks) -> None:
    async with syslog_receiver() as receiver:
        await sinks.create(syslog_of(receiver))
        running = [asyncio.create_task(sinks.streamer(most_entries=1).run()) for _ in range(4)]
        try:
            await eventually(lambda: _come(receiver, LOG))
        finally:
            for one in running:
                one.cancel()
    assert receiver.sequences == list(range(LOG))


async def test_what_another_holds_is_left_alone_until_its_lease_is_over(sinks: Sinks, archive: Archive) -> None:
    async with syslog_receiver() as receiver:
        await sinks.create(syslog_of(receiver))
        first, second = sinks.streamer(most_entries=10), sinks.streamer(most_entries=10)
        [sink_id] = await first.due()
        assert await first.turn(sink_id)
        assert not await second.turn(sink_id)
        async with archive.database.transaction() as session:
            await driver(session).execute("UPDATE sinks SET held_until = now() - interval '1 second'")
        assert await second.turn(sink_id)
        assert not await first.turn(sink_id)
    assert receiver.sequences == list(range(20))


@pytest.mark.parametrize(
    ("crash_at", "twice"),
    [("sink.after_batch", 0), ("sink.after_batch:2", 0), ("sink.after_send", 10), ("sink.after_send:3", 10)],
)
async def test_a_killed_process_is_followed_by_another_that_sends_the_same_batch(
    stem: Stem, built: Built, sinks: Sinks, crash_at: str, twice: int
) -> None:
    async with webhook_receiver(SECRET) as hook, syslog_receiver() as syslog:
        for target, name in ((https_of(hook.url), "hook"), (syslog_of(syslog), "syslog")):
            sink = await sinks.create(target, name=name)
            assert await run_process(stem, built, crash_at=crash_at) == -signal.SIGKILL
            await archive_more(sinks)
            async with built.database.transaction() as session:
                await driver(session).execute("UPDATE sinks SET held_until = now() - interval '1 second'")
            assert await run_process(stem, built) == 0
            assert (await sinks.view(sink))["backlog"] == 0
    size = LOG + 2
    assert firsts(hook.sequences) == list(range(size))
    assert len(hook.sequences) - size == twice
    assert len(hook.ids) - len(set(hook.ids)) == twice // 10, "what came twice bore its id twice"
    assert firsts(syslog.sequences) == list(range(size))
    assert len(syslog.sequences) - size == twice


async def run_process(stem: Stem, built: Built, *, crash_at: str = "") -> int:
    """Run a process that sends to its end; its exit code."""
    module = "tests.integration.audit.sink_process"
    return await stem.run(module, built.platform.urls["audit"], built.config.keys, crash_at=crash_at)


async def archive_more(sinks: Sinks) -> None:
    """One more entry."""
    await sinks.archive.record(platform_event())


async def _come(receiver: SyslogReceiver, count: int) -> Any:
    return len(receiver.frames) == count
