"""A real RabbitMQ for tests: found, or got; never skipped."""

import asyncio
import fcntl
import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import aio_pika
import pytest

from libs.common.broker.connect import answers_amqp
from libs.common.broker.declare import EXCHANGES, Names
from libs.common.broker.link import Link, close_channel
from libs.common.broker.topology import QUEUES, Queue
from tests.support.docker import engine_answers
from tests.support.rabbitmq_node import PrivateNode, server_is_installed

LOCAL = "amqp://guest:guest@127.0.0.1:5672/"
IMAGE = "rabbitmq:4-alpine"
NONE_FOUND = (
    "No RabbitMQ for the broker tests: set REEVE_TEST_AMQP_URL, start a Docker engine, "
    "or install one with `apt-get install rabbitmq-server`."
)


@asynccontextmanager
async def found_rabbitmq() -> AsyncIterator[str]:
    """The URL of a user who may declare: configured, in a container, local, a private node; else the test fails."""
    configured = os.environ.get("REEVE_TEST_AMQP_URL")
    if configured:
        yield configured
    elif engine_answers():
        async with _container() as url:
            yield url
    elif await _lets_in(LOCAL):
        yield LOCAL
    else:
        async with _shared_node() as url:
            yield url


@asynccontextmanager
async def private_node() -> AsyncIterator[PrivateNode]:
    """A node of the test's own, to be killed, restarted and given users; else the test fails."""
    _get_server()
    node = PrivateNode()
    try:
        await node.start()
        yield node
    finally:
        await node.remove()


async def remove_namespace(url: str, namespace: str, *, queues: Sequence[Queue] = QUEUES) -> None:
    """Delete what a test run declared under its namespace."""
    names = Names(namespace)
    link = Link(url, name="tests cleaning up")
    await link.open()
    try:
        channel = await link.channel(confirms=False)
        for queue in queues:
            await channel.queue_delete(names.on_broker(queue.name))
            await channel.queue_delete(names.on_broker(queue.dead))
        for exchange in EXCHANGES:
            await channel.exchange_delete(names.on_broker(exchange))
        await close_channel(channel)
    finally:
        await link.close()


async def _lets_in(url: str) -> bool:
    if not await answers_amqp("127.0.0.1", 5672):
        return False
    try:
        connection = await aio_pika.connect(url, timeout=5)
    except (OSError, aio_pika.exceptions.AMQPError):
        return False
    await connection.close()
    return True


@asynccontextmanager
async def _container() -> AsyncIterator[str]:
    from testcontainers.core.container import DockerContainer

    container = DockerContainer(IMAGE).with_exposed_ports(5672)
    await asyncio.to_thread(container.start)
    try:
        url = f"amqp://guest:guest@{container.get_container_host_ip()}:{container.get_exposed_port(5672)}/"
        await _until_it_lets_in(url)
        yield url
    finally:
        await asyncio.to_thread(container.stop)


async def _until_it_lets_in(url: str) -> None:
    async with asyncio.timeout(60):
        while True:
            try:
                connection = await aio_pika.connect(url, timeout=5)
            except (OSError, aio_pika.exceptions.AMQPError):
                await asyncio.sleep(0.2)
            else:
                await connection.close()
                return


@asynccontextmanager
async def _shared_node() -> AsyncIterator[str]:
    """One private node for all workers of a test run: the first one starts it, the last one removes it."""
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", f"alone-{os.getpid()}")
    book = Path(tempfile.gettempdir()) / f"reeve-rabbitmq-{os.getuid()}-{run}.json"
    with _locked(book):
        state = json.loads(book.read_text() or "{}")
        if not state:
            state = await _start_shared()
        state["users"] += 1
        book.write_text(json.dumps(state))
    try:
        yield str(state["url"])
    finally:
        with _locked(book):
            state = json.loads(book.read_text())
            state["users"] -= 1
            book.write_text(json.dumps(state))
            if not state["users"]:
                _end_shared(state["pids"], Path(state["folder"]))
                book.unlink()
                _lock_of(book).unlink(missing_ok=True)


async def _start_shared() -> dict[str, object]:
    _get_server()
    node = PrivateNode()
    try:
        await node.start()
    except BaseException:
        await node.remove()
        raise
    return {"url": node.url, "pids": node.pids, "folder": str(node.folder), "users": 0}


def _end_shared(pids: Sequence[int], folder: Path) -> None:
    for pid in pids:
        try:
            os.killpg(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _locked(book: Path) -> Iterator[None]:
    with _lock_of(book).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        book.touch()
        yield


def _lock_of(book: Path) -> Path:
    return book.with_suffix(".lock")


def _get_server() -> None:
    """Make sure that `rabbitmq-server` is installed: root on Debian may install it, for others the test fails."""
    if server_is_installed():
        return
    if os.geteuid() == 0 and shutil.which("apt-get"):
        with _locked(Path(tempfile.gettempdir()) / "reeve-rabbitmq-install.json"):
            _install()
    if not server_is_installed():
        pytest.fail(NONE_FOUND, pytrace=False)


def _install() -> None:
    if server_is_installed():
        return
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    for arguments in (["update", "-q"], ["install", "-qy", "--no-install-recommends", "rabbitmq-server"]):
        subprocess.run(["apt-get", *arguments], check=False, env=quiet, capture_output=True, timeout=300)
