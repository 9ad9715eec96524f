"""Storage that fails: nothing is lost, and what comes twice is the same object."""

import signal
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiohttp import web

from libs.common.database.engine import driver
from tests.integration.audit.archive import Archive, Built, platform_event, request_recorded
from tests.integration.audit.sinks import Sinks
from tests.integration.audit.test_sinks_faults import archive_more, run_process
from tests.support.receivers import serve
from tests.support.s3_server import S3Server, running_s3
from tests.support.stem import Stem
from tests.support.tcp_proxy import TcpProxy

LOG = 30


@pytest.fixture
async def s3(tmp_path: Path) -> AsyncIterator[S3Server]:
    """A server with an empty bucket."""
    async with running_s3(tmp_path) as server:
        yield server


@pytest.fixture(autouse=True)
async def log(archive: Archive) -> None:
    """A log of 30 entries."""
    await archive.record(*[platform_event() for _ in range(LOG)])


async def test_storage_that_is_away_gets_everything_when_it_is_back(sinks: Sinks, s3: S3Server) -> None:
    sink = await sinks.create(s3.target())
    streamer = sinks.streamer(most_object_entries=10)
    await sinks.stream(streamer, turns=1)
    await s3.stop()
    for number in range(2):
        await sinks.stream(turns=1)
        away = await sinks.view(sink)
        assert (away["state"], away["cursor"], away["backlog"]) == ("retrying", 10, LOG - 10 + number)
        assert away["last_error"].startswith("the storage did not answer: Client")
        await archive_more(sinks)
    await s3.start()
    await sinks.stream()
    assert s3.sequences == list(range(LOG + 2))
    back = await sinks.view(sink)
    assert (back["state"], back["failures"], back["backlog"]) == ("ok", 0, 0)


async def test_storage_that_falls_silent_is_given_up_in_time(sinks: Sinks, s3: S3Server) -> None:
    proxy = TcpProxy("127.0.0.1", s3.port)
    await proxy.start()
    proxy.fall_silent()
    sink = await sinks.create(s3.target(endpoint=f"http://127.0.0.1:{proxy.port}"))
    await sinks.stream(sinks.streamer(send_seconds=1.0), turns=1)
    assert (await sinks.view(sink))["last_error"] == "the receiver did not confirm within 1 seconds"
    proxy.speak_again()
    proxy.cut()
    await sinks.stream()
    await proxy.stop()
    assert s3.sequences == list(range(LOG))


@pytest.mark.parametrize(("crash_at", "requests"), [("sink.after_batch:2", 4), ("sink.after_send:2", 5)])
async def test_a_killed_process_is_followed_by_another_that_writes_the_same_object(
    stem: Stem, built: Built, sinks: Sinks, s3: S3Server, *, crash_at: str, requests: int
) -> None:
    sink = await sinks.create(s3.target())
    assert await run_process(stem, built, crash_at=crash_at) == -signal.SIGKILL
    await archive_more(sinks)
    async with built.database.transaction() as session:
        await driver(session).execute("UPDATE sinks SET held_until = now() - interval '1 second'")
    assert await run_process(stem, built) == 0
    assert (await sinks.view(sink))["backlog"] == 0
    assert s3.sequences == list(range(LOG + 1)), "no entry is there twice, and none is missing"
    assert len(s3.requests) == requests
    assert len(s3.objects) == 4


async def test_a_large_backlog_goes_in_large_objects(archive: Archive, sinks: Sinks, s3: S3Server) -> None:
    filler = {"text": "x" * 3_000}
    for _ in range(6):
        await archive.record(*[request_recorded(data={"action": "view_user", "details": filler}) for _ in range(500)])
    sink = await sinks.create(s3.target())
    await sinks.stream()
    assert s3.sequences == list(range(LOG + 3000))
    assert 2 <= len(s3.objects) <= 4
    assert (await sinks.view(sink))["sent"] == LOG + 3000


@pytest.mark.parametrize("status", [412, 500, 503])
async def test_what_storage_answers_decides_what_comes_next(sinks: Sinks, status: int) -> None:
    """An answer as S3's documentation has it: 503 asks for time, and 412 says that the object is there."""
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        headers = {"Retry-After": "120"} if status == 503 else {}
        return web.Response(
            status=status, headers=headers, text="<?xml version='1.0'?><Error><Code>SlowDown</Code></Error>"
        )

    async with serve(answer) as url:
        target = {"kind": "s3", "endpoint": url, "bucket": "audit-log", "access_key_id": "A", "batch_seconds": 0}
        sink = await sinks.create({**target, "write_once": True})
        await sinks.stream(turns=1)
        found = await sinks.view(sink)
        if status == 412:
            assert (found["cursor"], found["state"]) == (LOG, "ok")
            await sinks.change(sink, target=target, starts="beginning")
            await sinks.stream(turns=1)
            found = await sinks.view(sink)
            assert (found["cursor"], found["state"]) == (0, "retrying")
        else:
            assert (found["cursor"], found["state"], found["failures"]) == (0, "retrying", 1)
            assert found["last_error"] == f"the storage answered {status} SlowDown: it wants fewer requests"
            wait = datetime.fromisoformat(found["next_try_at"]) - datetime.now(UTC)
            least = timedelta(seconds=110 if status == 503 else -60)
            assert least < wait <= timedelta(seconds=120 if status == 503 else 0)


async def test_an_address_that_is_allowed_no_more_is_not_called(sinks: Sinks, s3: S3Server) -> None:
    sink = await sinks.create(s3.target())
    await sinks.stream(sinks.streamer(allowed=()), turns=1)
    assert (await sinks.view(sink))["last_error"] == "http://127.0.0.1: only https, or http to loopback"
    assert s3.requests == []


async def test_no_redirect_is_followed(sinks: Sinks, s3: S3Server) -> None:
    async def elsewhere(request: web.Request) -> web.Response:
        return web.Response(status=307, headers={"Location": f"http://127.0.0.1:{s3.port}{request.path}"})

    async with serve(elsewhere) as url:
        sink = await sinks.create(s3.target(endpoint=url))
        await sinks.stream(turns=1)
    assert (await sinks.view(sink))["last_error"] == "the storage answered 307"
    assert s3.requests == []
