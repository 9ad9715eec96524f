"""Which broker a process ends up with."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from yarl import URL

from libs.common.broker.connect import answers_amqp, connect
from libs.common.broker.topology import COMMANDS, Queue
from libs.common.errors import ConfigError
from tests.support.messages import command_message, settle_count
from tests.support.rabbitmq_fixtures import RabbitNamespace

WORK = Queue("work.commands", COMMANDS, ("work.commands",))

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture
async def server_that() -> AsyncIterator[Callable[[Answer], Awaitable[int]]]:
    """Start something on a free local port that is no RabbitMQ: `await server_that(answers)`."""
    servers: list[asyncio.Server] = []

    async def start(answer: Answer) -> int:
        servers.append(await asyncio.start_server(answer, "127.0.0.1", 0))
        return int(servers[-1].sockets[0].getsockname()[1])

    yield start
    for server in servers:
        server.close()


async def test_a_named_broker_is_used(rabbitmq_namespace: RabbitNamespace) -> None:
    await rabbitmq_namespace.connect(queues=(WORK,))
    transport = await connect(
        rabbitmq_namespace.url, application="gateway", namespace=rabbitmq_namespace.namespace, queues=(WORK,)
    )
    assert transport.kind == "rabbitmq"
    await transport.publish(command_message(WORK))
    async with transport.subscribe(WORK) as subscription:
        assert len(await settle_count(subscription, 1)) == 1
    await transport.close()


async def test_the_in_process_transport_can_be_asked_for() -> None:
    transport = await connect("embedded", application="gateway")
    assert transport.kind == "embedded"
    assert transport.is_connected
    await transport.close()


async def test_rabbitmq_answers_the_handshake(rabbitmq: str) -> None:
    url = URL(rabbitmq)
    assert await answers_amqp(url.host or "", url.port or 5672)


async def test_what_is_silent_or_speaks_something_else_is_no_broker(
    server_that: Callable[[Answer], Awaitable[int]],
) -> None:
    async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async def http(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    for answer in (silence, http, hang_up):
        started = time.monotonic()
        assert not await answers_amqp("127.0.0.1", await server_that(answer))
        assert time.monotonic() - started < 1.5


async def test_a_port_where_nobody_listens_is_no_broker(server_that: Callable[[Answer], Awaitable[int]]) -> None:
    assert not await answers_amqp("127.0.0.1", 1)


@pytest.mark.parametrize("url", ["rabbit", "http://127.0.0.1:5672/", "amqp:///", "amqp://host:port/", ""])
async def test_a_wrong_url_is_one_clear_line(url: str) -> None:
    with pytest.raises(ConfigError, match=r"^REEVE_AMQP_URL: must be `embedded` or amqp://[^\n]*$"):
        await connect(url, application="gateway")


async def test_a_refused_login_is_one_clear_line_without_the_password(rabbitmq: str) -> None:
    url = str(URL(rabbitmq).with_user("nobody").with_password("hunter2-secret"))
    with pytest.raises(ConfigError) as caught:
        await connect(url, application="gateway", patience_seconds=30)
    assert "refused this user or password" in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert "\n" not in str(caught.value)


async def test_an_absent_broker_is_one_clear_line() -> None:
    with pytest.raises(ConfigError, match=r"^REEVE_AMQP_URL: cannot use RabbitMQ at 127\.0\.0\.1:1: [^\n]*$"):
        await connect("amqp://guest:guest@127.0.0.1:1/", application="gateway")


async def test_a_silent_broker_is_given_up_after_five_seconds(
    server_that: Callable[[Answer], Awaitable[int]],
) -> None:
    async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    started = time.monotonic()
    with pytest.raises(ConfigError, match="cannot use RabbitMQ"):
        await connect(f"amqp://guest:guest@127.0.0.1:{await server_that(silence)}/", application="gateway")
    assert time.monotonic() - started < 8


async def test_a_virtual_host_that_is_missing_is_one_clear_line(rabbitmq: str) -> None:
    with pytest.raises(ConfigError, match=r"cannot use RabbitMQ[^\n]*$"):
        await connect(str(URL(rabbitmq).with_path("/no-such-vhost")), application="gateway")
