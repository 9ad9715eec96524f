"""A service as a process: it starts, says so, answers, and ends in order and in time."""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from time import monotonic

import httpx
import pytest

from libs.common.web.app import create_app
from libs.common.web.serve import TaskDied, run_services
from libs.common.web.service import Service
from tests.support.eventually import eventually
from tests.support.processes import free_port

Starter = Callable[..., Awaitable["Station"]]


class Station:
    """A running station."""

    def __init__(self, process: asyncio.subprocess.Process, port: int, metrics_port: int) -> None:
        self.process = process
        self.url = f"http://127.0.0.1:{port}"
        self.metrics_url = f"http://127.0.0.1:{metrics_port}/metrics"

    async def end(self, number: int = signal.SIGTERM) -> tuple[int, str, str, float]:
        """Send the signal and wait: exit code, what it printed, what it logged, and the seconds it took."""
        begun = monotonic()
        self.process.send_signal(number)
        return *await self.rest(), monotonic() - begun

    async def rest(self) -> tuple[int, str, str]:
        """Wait for the end: exit code, what it printed and what it logged."""
        async with asyncio.timeout(30):
            out, err = await self.process.communicate()
        assert self.process.returncode is not None
        return self.process.returncode, out.decode(), err.decode()


@pytest.fixture
async def start() -> AsyncIterator[Starter]:
    """Start a station with a command and an environment; kill what is left of it in the end."""
    running: list[Station] = []

    async def starter(command: str = "serve", **environment: str) -> Station:
        port, metrics_port = free_port(), free_port()
        environment = {
            "REEVE_PORT": str(port), "REEVE_METRICS_PORT": str(metrics_port), "PATH": os.environ["PATH"],
        } | environment  # fmt: skip
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.integration.web.station", command,
            env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        running.append(Station(process, port, metrics_port))
        return running[-1]

    yield starter
    for station in running:
        if station.process.returncode is None:
            station.process.kill()
            await station.process.wait()


async def answering(station: Station) -> None:
    """Wait until the station answers its probe."""
    async with httpx.AsyncClient() as client:

        async def answers() -> bool:
            try:
                return (await client.get(f"{station.url}/healthz")).status_code == 200
            except httpx.TransportError:
                return False

        await eventually(answers, within_seconds=20)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
async def test_a_signal_ends_it_in_order_with_code_zero(start: Starter, number: int) -> None:
    station = await start()
    await answering(station)
    code, printed, logged, seconds = await station.end(number)
    assert (code, seconds < 5) == (0, True)
    assert printed.splitlines() == ["lifespan begins", "task ends", "lifespan ends", "closed"]
    assert [json.loads(line)["event"] for line in logged.splitlines()] == ["serving"]


async def test_a_task_that_misses_its_cancellation_is_asked_again(start: Starter) -> None:
    station = await start(STATION_TASK="mishears")
    await answering(station)
    code, printed, logged, seconds = await station.end()
    assert (code, 5 < seconds < 15) == (0, True)
    assert printed.splitlines() == ["lifespan begins", "task ends", "lifespan ends", "closed"]
    (told,) = [one for one in map(json.loads, logged.splitlines()) if one["event"] == "tasks do not end; asking again"]
    assert any(place.startswith("station: _task at ") for place in told["waiting"])


async def test_an_end_that_hangs_is_cut_short_and_says_where(start: Starter) -> None:
    station = await start(STATION_CLOSE="hangs")
    await answering(station)
    code, printed, logged, _ = await station.end()
    assert (code, printed.splitlines()[-1]) == (1, "lifespan ends")
    (told,) = [one for one in map(json.loads, logged.splitlines()) if one["event"] == "the end hangs; leaving"]
    assert any("build.<locals>.close:" in place for place in told["waiting"])


async def test_metrics_are_served_on_a_port_of_their_own(start: Starter) -> None:
    station = await start()
    await answering(station)
    async with httpx.AsyncClient() as client:
        scraped = (await client.get(station.metrics_url)).text
        assert (await client.get(f"{station.url}/metrics")).status_code == 404
    assert 'reeve_http_requests_total{method="GET",route="/healthz",service="station",status="200"}' in scraped


async def test_open_streams_are_ended_and_do_not_hold_the_end_up(start: Starter) -> None:
    station = await start()
    await answering(station)
    async with httpx.AsyncClient(timeout=20) as client, client.stream("GET", f"{station.url}/stream") as stream:
        parts = stream.aiter_text()
        received = await anext(parts)
        while "hello" not in received:
            received += await anext(parts)
        code, _, _, seconds = await station.end()
        async for part in parts:
            received += part
    assert (code, seconds < 5) == (0, True)
    assert received.endswith("event: end\ndata: {}\n\n")


async def test_a_request_in_flight_may_finish(start: Starter) -> None:
    station = await start()
    await answering(station)
    async with httpx.AsyncClient(timeout=20) as client, asyncio.TaskGroup() as group:
        answer = group.create_task(client.get(f"{station.url}/slow?seconds=1"))
        await asyncio.sleep(0.3)
        code, *_ = await station.end()
    assert (code, answer.result().json()) == (0, {"finished": True})


async def test_a_request_that_does_not_finish_is_waited_for_ten_seconds_at_most(start: Starter) -> None:
    station = await start()
    await answering(station)
    async with httpx.AsyncClient(timeout=30) as client, asyncio.TaskGroup() as group:
        group.create_task(_until_cut(client, f"{station.url}/slow?seconds=60"))
        await asyncio.sleep(0.3)
        code, _, _, seconds = await station.end()
    assert code == 0
    assert 9 < seconds < 13


async def _until_cut(client: httpx.AsyncClient, url: str) -> None:
    try:
        answer = await client.get(url)
        assert answer.status_code >= 500
    except httpx.TransportError:
        return


async def test_a_task_that_dies_ends_the_process_with_a_code_that_says_so(start: Starter) -> None:
    station = await start(STATION_TASK="dies")
    code, printed, logged = await station.rest()
    assert code == 1
    assert printed.splitlines()[-3:] == ["task ends", "lifespan ends", "closed"]
    died = [json.loads(line) for line in logged.splitlines() if "died" in line]
    assert len(died) == 1
    assert "the relay cannot go on" in died[0]["exception"]


@pytest.mark.parametrize(
    ("environment", "line"),
    [
        (
            {"REEVE_PORT": "http"},
            'reeve: REEVE_PORT: must be a whole number, got "http"',
        ),
        (
            {"REEVE_LOG_LEVEL": "loud"},
            "reeve: REEVE_LOG_LEVEL: must be 'debug', 'info', 'warning' or 'error', got \"loud\"",
        ),
    ],
)
@pytest.mark.parametrize("command", ["serve", "migrate", "check"])
async def test_a_wrong_environment_is_one_line_and_code_two(
    start: Starter, command: str, environment: dict[str, str], line: str
) -> None:
    code, printed, logged = await (await start(command, **environment)).rest()
    assert (code, printed, logged) == (2, "", f"{line}\n")


@pytest.mark.parametrize("variable", ["REEVE_PORT", "REEVE_METRICS_PORT"])
async def test_a_taken_port_is_one_line_and_code_two(start: Starter, variable: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        code, _, logged = await (await start(**{variable: port})).rest()
    assert code == 2
    assert logged == f"reeve: {variable}: cannot listen on 127.0.0.1:{port} (Address already in use)\n"


async def test_check_asks_once_and_says_how_it_went(start: Starter) -> None:
    assert await (await start("check")).rest() == (0, "closed\nmood: ok\n", "")
    code, printed, logged = await (await start("check", STATION_MOOD="bad")).rest()
    assert (code, printed) == (1, "closed\nmood: failed\n")
    assert json.loads(logged)["event"] == "readiness check failed"


async def test_migrate_migrates(start: Starter) -> None:
    assert await (await start("migrate")).rest() == (0, "migrated\n", "")


async def test_what_is_not_http_is_answered_in_the_house_shape(start: Starter) -> None:
    station = await start()
    await answering(station)
    reader, writer = await asyncio.open_connection("127.0.0.1", int(station.url.rsplit(":", 1)[1]))
    writer.write(b"this is not HTTP\r\n\r\n")
    answer = await reader.read()
    writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 Bad Request")
    assert b"x-request-id: " in head
    assert json.loads(body)["detail"]["error"] == "bad_request"


async def test_services_share_a_process_and_only_some_have_a_port() -> None:
    begun: list[str] = []

    def service(name: str, task: Callable[[], Awaitable[None]]) -> Service:
        async def closed() -> None:
            begun.append(f"{name} closed")

        return Service(name, create_app(service=name, title=name, version="1", checks={}), (task,), close=closed)

    async def forever() -> None:
        begun.append("task")
        await asyncio.Event().wait()

    port = free_port()
    stop, ready = asyncio.Event(), asyncio.Event()
    services = [service("gateway", forever), service("settings", forever)]
    async with asyncio.TaskGroup() as group:
        group.create_task(
            run_services(services, listen={"gateway": ("127.0.0.1", port)}, on_ready=ready.set, stop=stop)
        )
        await ready.wait()
        async with httpx.AsyncClient() as client:
            assert (await client.get(f"http://127.0.0.1:{port}/healthz")).status_code == 200
        stop.set()
    assert sorted(begun) == ["gateway closed", "settings closed", "task", "task"]


async def test_a_dying_task_of_one_service_stops_them_all() -> None:
    async def dies() -> None:
        raise RuntimeError("no more")

    async def forever() -> None:
        await asyncio.Event().wait()

    app = create_app(service="a", title="A", version="1", checks={})
    services = [Service("a", app, (forever,)), Service("b", app, (dies,))]
    with pytest.raises(TaskDied, match=r"b .*dies"):
        await run_services(services, listen={})
